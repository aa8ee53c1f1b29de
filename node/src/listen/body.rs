//! Bodies as they pass a connection: when the last of a request was read, and when a response is done with, is what the
//! connection's state is made of.

use super::live::Live;
use crate::access_log::{AccessLog, Answered};
use axum::body::Body;
use bytes::Bytes;
use hyper::body::{Body as _, Frame, Incoming, SizeHint};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

/// The body of a request.
pub(super) struct Received {
    body: Incoming,
    live: Option<Arc<Live>>,
}

impl Received {
    pub(super) fn new(body: Incoming, live: &Arc<Live>) -> Self {
        let expected = !body.is_end_stream();
        live.begin_request();
        Self { body, live: expected.then(|| Arc::clone(live)) }
    }

    fn end(&mut self) {
        if let Some(live) = self.live.take() {
            live.stop_waiting();
        }
    }
}

impl hyper::body::Body for Received {
    type Data = Bytes;
    type Error = hyper::Error;

    fn poll_frame(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<hyper::Result<Frame<Bytes>>>> {
        let poll = Pin::new(&mut self.body).poll_frame(context);
        // Only now the client is waited for: until a handler reads, it is the client that waits.
        if let (Poll::Pending, Some(live)) = (&poll, &self.live)
            && !live.is_waiting()
        {
            live.wait();
        }
        let frame = ready!(poll);
        if frame.is_none() || self.body.is_end_stream() {
            self.end();
        }
        Poll::Ready(frame)
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

impl Drop for Received {
    fn drop(&mut self) {
        if let Some(live) = &self.live {
            live.leave_unread();
        }
        self.end();
    }
}

/// The body of a response. Once it is dropped all of it is made, and the gate sees to when it is written.
pub(super) struct Sent {
    body: Body,
    live: Arc<Live>,
    line: Option<(Arc<AccessLog>, Answered)>,
    /// Its end was seen.
    ended: bool,
}

impl Sent {
    /// `line` is what the access log will say of it.
    pub(super) fn new(body: Body, live: &Arc<Live>, line: Option<(Arc<AccessLog>, Answered)>) -> Self {
        Self { body, live: Arc::clone(live), line, ended: false }
    }
}

impl hyper::body::Body for Sent {
    type Data = Bytes;
    type Error = axum::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, axum::Error>>> {
        let poll = Pin::new(&mut self.body).poll_frame(context);
        self.ended |= matches!(poll, Poll::Ready(None));
        poll
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

impl Drop for Sent {
    fn drop(&mut self) {
        // Who knows the length asks for no more than that.
        let made = self.ended || self.body.is_end_stream() || self.body.size_hint().exact() == Some(0);
        let mut line = self.line.take();
        if let Some((_, answered)) = &mut line {
            answered.made |= made;
        }
        self.live.answer(line);
    }
}
