//! The report against numbers and files that others wrote down.
