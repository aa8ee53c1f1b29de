//! A cabinet inside a program: `UCUpdates.exe` carries one as a resource (PROTOCOL.md 7). The resource tables of the
//! program are not read: the signature is looked for, and the first place whose whole structure is valid counts.

use super::error::CabinetError;
use super::layout::is_header;
use super::limits::Limits;
use super::{Cabinet, layout};
use std::io::{self, Read, Seek, SeekFrom};

/// Bytes read at a time.
const WINDOW_BYTES: usize = 256 << 10;
/// What must follow a place to judge it: the fixed part of a header.
const OVERLAP_BYTES: usize = layout::HEADER_BYTES - 1;
/// Places that look like a cabinet's header and are tried (ours). Programs have one or two; what is full of them is
/// made to keep us busy.
const CANDIDATES: usize = 32;

/// Where in `reader` the first valid cabinet begins; `None` when nothing there looks like one. When places look like
/// one and none is valid, the refusal of the first.
pub fn find_in_program<R: Read + Seek>(reader: &mut R, limits: &Limits) -> Result<Option<u64>, CabinetError> {
    let candidates = candidates(reader).map_err(CabinetError::Read)?;
    let mut first_refusal = None;
    for start in candidates {
        match Cabinet::open(&mut *reader, start, limits) {
            Ok(_) => return Ok(Some(start)),
            Err(error @ CabinetError::Read(_)) => return Err(error),
            Err(error) => first_refusal = first_refusal.or(Some(error)),
        }
    }
    first_refusal.map_or(Ok(None), Err)
}

fn candidates<R: Read + Seek>(reader: &mut R) -> io::Result<Vec<u64>> {
    reader.seek(SeekFrom::Start(0))?;
    let mut found = Vec::new();
    let mut window = Vec::with_capacity(WINDOW_BYTES + OVERLAP_BYTES);
    let mut window_start = 0;
    loop {
        let kept = window.len();
        let read = reader.by_ref().take(WINDOW_BYTES as u64).read_to_end(&mut window)?;
        if read == 0 || found.len() >= CANDIDATES {
            found.truncate(CANDIDATES);
            return Ok(found);
        }
        debug_assert!(kept <= OVERLAP_BYTES);
        let is_candidate = |at: &usize| window[*at] == b'M' && is_header(&window[*at..]);
        let judged = window.len().saturating_sub(OVERLAP_BYTES);
        found.extend((0..judged).filter(is_candidate).map(|at| window_start + at as u64));
        window.drain(..judged);
        window_start += judged as u64;
    }
}
