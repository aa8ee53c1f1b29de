//! Packages on the command line.
