//! The gate before hyper: lets the bytes of a connection through once the head they belong to has been read and found
//! good. It knows where each head begins, because it knows how long the body before is. For a head that is refused it
//! lets a request of its own through, with a method that no client can send here, so that the refusal is answered in its
//! turn like any request. It also bounds how long heads and bodies may take. Nothing is copied when a head comes whole.

use super::head::{BodyLength, HeadFault, HeadReader};
use super::live::Live;
use super::pace::{LeastRate, Pace};
use crate::metrics::ConnectionRefusal;
use bytes::{Buf, Bytes, BytesMut};
use http::Request;
use std::future::Future;
use std::io::{self, IoSlice};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::time::{Instant, Sleep};

/// The method of the request that stands for a refused head. [`HeadReader`] lets no client send it.
const REFUSED: &str = "REFUSED";

/// What is read at a time of a head that came in pieces.
const PIECE_BYTES: usize = 2048;

/// How long a client may take.
#[derive(Debug, Clone)]
pub(super) struct Patience {
    /// For the first request's head, from the connection's begin; for a later one's, from its first byte.
    pub(super) head: Duration,
    /// Between a response and the next request's first byte.
    pub(super) idle: Duration,
    /// While it sends a body.
    pub(super) body: LeastRate,
}

/// A stream whose requests have good heads.
pub(super) struct Gate<S> {
    stream: S,
    live: Arc<Live>,
    patience: Patience,
    reading: Reading,
    /// The beginning of a head whose end has not come.
    held: BytesMut,
    /// What goes to hyper next.
    passed: Bytes,
    /// Requests that went to hyper and whose responses are not yet written.
    unanswered: u32,
    waiting: Option<WaitingFor>,
    timer: Pin<Box<Sleep>>,
    pace: Pace,
    cut: Option<ConnectionRefusal>,
}

enum Reading {
    Head(HeadReader),
    Body {
        left: u64,
    },
    /// Hyper finds the end; nothing of the client's comes after.
    Chunks,
    Refused,
}

/// What the timer is set for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum WaitingFor {
    FirstHead,
    NextRequest,
    Head,
}

/// What becomes of bytes that were read.
struct Passed {
    /// So many may go on.
    length_bytes: usize,
    fault: Option<HeadFault>,
}

/// The fault that a request stands for, if it is the gate's own.
pub(super) fn refused_head<B>(request: &Request<B>) -> Option<HeadFault> {
    if request.method().as_str() != REFUSED {
        return None;
    }
    let number: usize = request.uri().path().strip_prefix('/')?.parse().ok()?;
    HeadFault::all().get(number).copied()
}

fn request_for(fault: HeadFault) -> Bytes {
    format!("{REFUSED} /{} HTTP/1.1\r\nHost: -\r\n\r\n", fault as usize).into()
}

impl<S> Gate<S> {
    pub(super) fn new(stream: S, live: Arc<Live>, patience: Patience) -> Self {
        let timer = Box::pin(tokio::time::sleep(patience.head));
        let pace = Pace::new(patience.body);
        Self {
            stream,
            live,
            patience,
            reading: Reading::Head(HeadReader::default()),
            held: BytesMut::new(),
            passed: Bytes::new(),
            unanswered: 0,
            waiting: Some(WaitingFor::FirstHead),
            timer,
            pace,
            cut: None,
        }
    }

    /// A gate that refuses its connection's first request unread.
    pub(super) fn refusing(stream: S, live: Arc<Live>, patience: Patience, fault: HeadFault) -> Self {
        let mut gate = Self::new(stream, live, patience);
        gate.refuse(fault);
        gate
    }

    pub(super) fn into_inner(self) -> S {
        self.stream
    }

    /// Why it stopped reading, when that was the client's slowness.
    pub(super) fn cut(&self) -> Option<ConnectionRefusal> {
        self.cut
    }

    /// Whether bytes may be left that nobody will read.
    pub(super) fn may_have_unread(&self) -> bool {
        !matches!(&self.reading, Reading::Head(head) if !head.has_begun())
    }

    fn refuse(&mut self, fault: HeadFault) {
        self.begin_request();
        self.reading = Reading::Refused;
        self.held = BytesMut::new();
        self.passed = request_for(fault);
    }

    /// A request goes to hyper. Its time begins here and not where hyper calls a handler: before that hyper reads once
    /// more, and must find no limit of idleness running.
    fn begin_request(&mut self) {
        self.unanswered += 1;
        self.waiting = None;
        self.live.begin_request();
    }

    /// All that was to be written is written. When that was the last response, the connection is idle from here on.
    fn written(&mut self, context: &mut Context<'_>) {
        let answered = self.live.take_answered();
        if answered == 0 {
            return;
        }
        self.unanswered = self.unanswered.saturating_sub(answered);
        if self.unanswered > 0 {
            return;
        }
        self.waiting = None;
        self.live.idle();
        // Hyper reads no more by itself: it is the timer that has to wake it.
        if matches!(self.reading, Reading::Head(_)) && self.poll_patience(context).is_ready() {
            context.waker().wake_by_ref();
        }
    }

    /// Follows heads and bodies through `bytes`, which begin where `reading` stands.
    fn follow(&mut self, bytes: &[u8]) -> Passed {
        let mut at = 0;
        while at < bytes.len() {
            match &mut self.reading {
                Reading::Head(head) => match head.read(&bytes[at..]) {
                    Ok(None) => break,
                    Ok(Some(whole)) => {
                        at += whole.length_bytes;
                        self.reading = match whole.body {
                            BodyLength::Bytes(0) => Reading::Head(HeadReader::default()),
                            BodyLength::Bytes(left) => Reading::Body { left },
                            BodyLength::Chunked => Reading::Chunks,
                        };
                        self.begin_request();
                    }
                    Err(fault) => return Passed { length_bytes: at, fault: Some(fault) },
                },
                Reading::Body { left } => {
                    let here = usize::try_from(*left).unwrap_or(usize::MAX).min(bytes.len() - at);
                    (at, *left) = (at + here, *left - here as u64);
                    if *left == 0 {
                        self.reading = Reading::Head(HeadReader::default());
                    }
                }
                Reading::Chunks | Reading::Refused => at = bytes.len(),
            }
        }
        Passed { length_bytes: at, fault: None }
    }

    /// The client has to send, and nothing is there. Ready when it has taken too long.
    fn poll_patience(&mut self, context: &mut Context<'_>) -> Poll<TookTooLong> {
        match &self.reading {
            Reading::Body { .. } => return self.pace.poll_too_slow(context).map(|()| TookTooLong::Body),
            // Past the last chunk it is the client that waits.
            Reading::Chunks if self.live.is_waiting() => {
                return self.pace.poll_too_slow(context).map(|()| TookTooLong::Body);
            }
            // An answer is on its way: the client may take its time with the next request.
            Reading::Head(_) if !self.live.is_active() => {}
            _ => return Poll::Pending,
        }
        let begun = matches!(&self.reading, Reading::Head(head) if head.has_begun());
        let wanted = match (begun, self.waiting) {
            (_, Some(WaitingFor::FirstHead)) => WaitingFor::FirstHead,
            (false, _) => WaitingFor::NextRequest,
            (true, _) => WaitingFor::Head,
        };
        if self.waiting != Some(wanted) {
            self.waiting = Some(wanted);
            let limit = if wanted == WaitingFor::NextRequest { self.patience.idle } else { self.patience.head };
            self.timer.as_mut().reset(Instant::now() + limit);
        }
        ready!(self.timer.as_mut().poll(context));
        Poll::Ready(match (begun, wanted) {
            (false, WaitingFor::FirstHead) => TookTooLong::FirstByte,
            (false, _) => TookTooLong::NextRequest,
            (true, _) => TookTooLong::Head,
        })
    }
}

enum TookTooLong {
    FirstByte,
    NextRequest,
    Head,
    Body,
}

impl<S: AsyncRead + Unpin> Gate<S> {
    /// Reads straight into hyper's buffer; what is not yet good goes into `held`.
    fn poll_straight(&mut self, context: &mut Context<'_>, into: &mut ReadBuf<'_>) -> Poll<io::Result<Step>> {
        let before = into.filled().len();
        ready!(Pin::new(&mut self.stream).poll_read(context, into))?;
        let Passed { length_bytes, fault } = {
            let bytes = &into.filled()[before..];
            if bytes.is_empty() {
                return Poll::Ready(Ok(Step::Read));
            }
            if !matches!(self.reading, Reading::Head(_)) {
                self.received(bytes.len());
            }
            self.follow(bytes)
        };
        match fault {
            Some(fault) => self.refuse(fault),
            None => self.held.extend_from_slice(&into.filled()[before + length_bytes..]),
        }
        into.set_filled(before + length_bytes);
        Poll::Ready(Ok(if length_bytes > 0 { Step::Read } else { Step::Again }))
    }

    /// Reads on in a head that came in pieces.
    fn poll_pieces(&mut self, context: &mut Context<'_>) -> Poll<io::Result<Step>> {
        let before = self.held.len();
        self.held.resize(before + PIECE_BYTES, 0);
        let mut piece = ReadBuf::new(&mut self.held[before..]);
        let poll = Pin::new(&mut self.stream).poll_read(context, &mut piece);
        let length_bytes = piece.filled().len();
        self.held.truncate(before + length_bytes);
        ready!(poll)?;
        if length_bytes == 0 {
            return Poll::Ready(Ok(Step::Read));
        }
        let mut held = std::mem::take(&mut self.held);
        let Passed { length_bytes, fault } = self.follow(&held);
        self.passed = held.split_to(length_bytes).freeze();
        self.held = held;
        if let Some(fault) = fault {
            let passed = std::mem::take(&mut self.passed);
            self.refuse(fault);
            self.passed = [passed, std::mem::take(&mut self.passed)].concat().into();
        }
        Poll::Ready(Ok(Step::Again))
    }

    /// Bytes of a body came. A few at a time are no reason to count the client among those that do not keep others
    /// waiting.
    fn received(&mut self, length_bytes: usize) {
        self.pace.moved(length_bytes);
        if length_bytes as u64 >= self.patience.body.bytes_per_s && self.live.is_waiting() {
            self.live.wait();
        }
    }
}

/// What came of one attempt to read.
enum Step {
    /// Hyper has bytes, or the end.
    Read,
    /// There is more to do first.
    Again,
}

impl<S: AsyncRead + Unpin> AsyncRead for Gate<S> {
    fn poll_read(self: Pin<&mut Self>, context: &mut Context<'_>, into: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let gate = self.get_mut();
        loop {
            if !gate.passed.is_empty() {
                let length = gate.passed.len().min(into.remaining());
                into.put_slice(&gate.passed[..length]);
                gate.passed.advance(length);
                return Poll::Ready(Ok(()));
            }
            let poll = match gate.reading {
                // Not the end: that would make hyper drop the answer.
                Reading::Refused => return Poll::Pending,
                _ if gate.held.is_empty() => gate.poll_straight(context, into),
                _ => gate.poll_pieces(context),
            };
            match poll {
                Poll::Ready(Ok(Step::Read)) => return Poll::Ready(Ok(())),
                Poll::Ready(Ok(Step::Again)) => continue,
                Poll::Ready(Err(error)) => return Poll::Ready(Err(error)),
                Poll::Pending => {}
            }
            match ready!(gate.poll_patience(context)) {
                TookTooLong::Head => gate.refuse(HeadFault::TooSlow),
                TookTooLong::NextRequest => return Poll::Ready(Ok(())),
                TookTooLong::FirstByte => {
                    gate.cut = Some(ConnectionRefusal::Silent);
                    return Poll::Ready(Ok(()));
                }
                TookTooLong::Body => {
                    gate.cut = Some(ConnectionRefusal::SlowSender);
                    let error = io::Error::new(io::ErrorKind::TimedOut, "the client sends its body too slowly");
                    return Poll::Ready(Err(error));
                }
            }
        }
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Gate<S> {
    fn poll_write(mut self: Pin<&mut Self>, context: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write(context, bytes)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        slices: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write_vectored(context, slices)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        ready!(Pin::new(&mut self.stream).poll_flush(context))?;
        self.written(context);
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(context)
    }
}
