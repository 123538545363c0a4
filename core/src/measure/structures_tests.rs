//! Volumes and positions against geometry worked out in numpy.
