//! The whole-system tests, one module an area; this file only lists them.

mod tidy;
