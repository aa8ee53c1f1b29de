//! Microsoft cabinets, read for safety first: header, folders and files are validated before anything is unpacked, and
//! each folder is decompressed once, streaming. Pure over `Read + Seek`; must not know what a package is.

mod limits;

pub use limits::Limits;
