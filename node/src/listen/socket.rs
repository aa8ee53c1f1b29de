//! The socket below TLS and HTTP: a client that asked for an image and stopped reading, or takes a byte a second, must
//! not hold a connection for ever; and a TLS listener notices plain HTTP before anything is answered to it.

use super::pace::{LeastRate, Pace};
use std::io::{self, IoSlice};
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;

/// What the first byte of a connection is expected to be.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum FirstByte {
    /// Any.
    Any,
    /// One of TLS: that of HTTP makes reading fail, so that TLS sends no alert into an HTTP client's face.
    Tls,
}

/// A connection with a least rate for its reader.
pub(super) struct PacedSocket {
    stream: TcpStream,
    pace: Pace,
    first_byte: FirstByte,
    plain: bool,
    too_slow: bool,
}

impl PacedSocket {
    pub(super) fn new(stream: TcpStream, least: LeastRate, first_byte: FirstByte) -> Self {
        Self { stream, pace: Pace::new(least), first_byte, plain: false, too_slow: false }
    }

    /// Whether the client spoke plain HTTP where TLS was expected.
    pub(super) fn is_plain(&self) -> bool {
        self.plain
    }

    /// Whether a write failed because the client took its bytes below the least rate.
    pub(super) fn was_too_slow(&self) -> bool {
        self.too_slow
    }

    fn paced(&mut self, context: &mut Context<'_>, poll: Poll<io::Result<usize>>) -> Poll<io::Result<usize>> {
        if let Poll::Ready(result) = &poll {
            self.pace.moved(*result.as_ref().unwrap_or(&0));
            return poll;
        }
        ready!(self.pace.poll_too_slow(context));
        self.too_slow = true;
        Poll::Ready(Err(io::Error::new(io::ErrorKind::TimedOut, "the client takes its bytes too slowly")))
    }
}

impl AsyncRead for PacedSocket {
    fn poll_read(mut self: Pin<&mut Self>, context: &mut Context<'_>, into: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let before = into.filled().len();
        ready!(Pin::new(&mut self.stream).poll_read(context, into))?;
        if self.first_byte == FirstByte::Tls
            && let Some(first) = into.filled().get(before)
        {
            self.first_byte = FirstByte::Any;
            // No record of TLS begins with a letter, every method of HTTP does.
            if first.is_ascii_alphabetic() {
                self.plain = true;
                return Poll::Ready(Err(io::Error::new(io::ErrorKind::InvalidData, "plain HTTP")));
            }
        }
        Poll::Ready(Ok(()))
    }
}

impl AsyncWrite for PacedSocket {
    fn poll_write(mut self: Pin<&mut Self>, context: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        let poll = Pin::new(&mut self.stream).poll_write(context, bytes);
        self.paced(context, poll)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        slices: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let poll = Pin::new(&mut self.stream).poll_write_vectored(context, slices);
        self.paced(context, poll)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(context)
    }
}
