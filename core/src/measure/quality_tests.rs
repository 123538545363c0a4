//! Quality measures against values worked out in numpy.
