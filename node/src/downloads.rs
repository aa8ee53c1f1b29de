//! What downloads of update files may cost the node: so many at one time, in all and of one address, and so many bytes
//! a second shared fairly. Which file is sent, and to whom, is decided elsewhere.

use crate::listen::counted_as;
use crate::metrics::Metrics;
use axum::body::Body;
use bytes::Bytes;
use hyper::body::{Frame, SizeHint};
use std::collections::HashMap;
use std::future::Future;
use std::net::IpAddr;
use std::pin::Pin;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, ready};
use std::time::Duration;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::{Instant, Sleep};

/// What is sent at a time when bytes per second are limited: small, so that the turn of a thousand downloads comes soon.
const TURN_BYTES: usize = 16 * 1024;

/// What may be sent at once after a pause, as time: without it a late timer would be bytes lost.
const BURST: Duration = Duration::from_millis(50);

/// What downloads may cost.
#[derive(Debug, Clone)]
pub struct DownloadLimits {
    /// Downloads at one time.
    pub slots: usize,
    /// Of one IPv4 address, or one IPv6 /64: who takes its bytes slowly holds a slot for hours.
    pub slots_per_address: usize,
    /// Bytes a second, of all together; 0 is no limit.
    pub bytes_per_s: u64,
}

impl Default for DownloadLimits {
    fn default() -> Self {
        Self { slots: 1000, slots_per_address: 250, bytes_per_s: 0 }
    }
}

/// The downloads of a node.
#[derive(Debug)]
pub struct Downloads {
    slots: Arc<Semaphore>,
    per_address: usize,
    addresses: Arc<Addresses>,
    rate: Option<Arc<Rate>>,
    metrics: Arc<Metrics>,
}

impl Default for Downloads {
    fn default() -> Self {
        Self::new(&DownloadLimits::default(), Arc::default())
    }
}

/// The right to send one body. Time counts from here.
#[derive(Debug)]
pub struct Slot {
    rate: Option<Arc<Rate>>,
    metrics: Arc<Metrics>,
    began: std::time::Instant,
    _permit: OwnedSemaphorePermit,
    _share: Share,
}

/// Downloads that run, by what their address counts as.
#[derive(Debug, Default)]
struct Addresses(Mutex<HashMap<IpAddr, usize>>);

impl Addresses {
    fn running(&self) -> MutexGuard<'_, HashMap<IpAddr, usize>> {
        // Every change is whole before anything can panic.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A share for one more, when the address has fewer than so many.
    fn share(self: &Arc<Self>, address: IpAddr, most: usize) -> Option<Share> {
        let address = counted_as(address);
        let mut running = self.running();
        let count = running.get(&address).copied().unwrap_or(0);
        if count >= most {
            return None;
        }
        running.insert(address, count + 1);
        drop(running);
        Some(Share { addresses: Arc::clone(self), address })
    }
}

/// One download of an address, given back when dropped.
#[derive(Debug)]
struct Share {
    addresses: Arc<Addresses>,
    address: IpAddr,
}

impl Drop for Share {
    fn drop(&mut self) {
        let mut running = self.addresses.running();
        let Some(count) = running.get_mut(&self.address) else { return };
        *count -= 1;
        if *count == 0 {
            running.remove(&self.address);
        }
    }
}

impl Downloads {
    /// With all slots free.
    pub fn new(limits: &DownloadLimits, metrics: Arc<Metrics>) -> Self {
        let rate = (limits.bytes_per_s > 0).then(|| Arc::new(Rate::new(limits.bytes_per_s)));
        let slots = Arc::new(Semaphore::new(limits.slots));
        Self { slots, per_address: limits.slots_per_address, addresses: Arc::default(), rate, metrics }
    }

    /// A slot, if one is free and the address may have one more.
    pub fn begin(&self, address: IpAddr) -> Option<Slot> {
        let permit = Arc::clone(&self.slots).try_acquire_owned().ok();
        let taken = permit.and_then(|permit| Some((permit, self.addresses.share(address, self.per_address)?)));
        let Some((permit, share)) = taken else {
            self.metrics.downloads.refuse();
            return None;
        };
        let (rate, metrics) = (self.rate.clone(), Arc::clone(&self.metrics));
        Some(Slot { rate, metrics, began: std::time::Instant::now(), _permit: permit, _share: share })
    }
}

impl Slot {
    /// The body of so many bytes, which holds the slot until it is sent or dropped.
    pub fn body(self, body: Body, length_bytes: u64) -> Body {
        self.metrics.downloads.start();
        Body::new(Download {
            body,
            left_bytes: length_bytes,
            slot: self,
            waiting: None,
            rest: Bytes::new(),
            begun: false,
        })
    }
}

/// Gives out turns of sending: whoever asks gets the next free moment, so that downloads take turns.
#[derive(Debug)]
struct Rate {
    began: Instant,
    bytes_per_s: u64,
    /// Nanoseconds from `began` at which all that was given out is sent.
    free_at_ns: AtomicU64,
}

impl Rate {
    fn new(bytes_per_s: u64) -> Self {
        Self { began: Instant::now(), bytes_per_s, free_at_ns: AtomicU64::new(0) }
    }

    /// When so many bytes may be sent; they are taken as sent.
    fn turn(&self, length_bytes: usize) -> Instant {
        let takes_ns = (length_bytes as u64).saturating_mul(1_000_000_000) / self.bytes_per_s;
        let now_ns = u64::try_from(self.began.elapsed().as_nanos()).unwrap_or(u64::MAX);
        let burst_ns = u64::try_from(BURST.as_nanos()).unwrap_or(0);
        let earliest_ns = now_ns.saturating_sub(burst_ns);
        let starts_ns = |free_at_ns: u64| free_at_ns.max(earliest_ns);
        let update = |free_at_ns| Some(starts_ns(free_at_ns).saturating_add(takes_ns));
        let before = self.free_at_ns.fetch_update(Ordering::Relaxed, Ordering::Relaxed, update);
        let (Ok(free_at_ns) | Err(free_at_ns)) = before;
        self.began + Duration::from_nanos(starts_ns(free_at_ns))
    }
}

/// A body that holds its slot and keeps to the rate.
struct Download {
    body: Body,
    slot: Slot,
    waiting: Option<Pin<Box<Sleep>>>,
    /// Read, and not yet sent: its turn is waited for.
    rest: Bytes,
    /// What is still to be sent. Who sends it stops at its end, and asks for no more.
    left_bytes: u64,
    begun: bool,
}

impl Download {
    /// The next bytes, when it is their turn.
    fn poll_turn(&mut self, context: &mut Context<'_>) -> Poll<Bytes> {
        if let Some(waiting) = &mut self.waiting {
            ready!(waiting.as_mut().poll(context));
            self.waiting = None;
        }
        let turn = self.rest.split_to(self.rest.len().min(TURN_BYTES));
        Poll::Ready(turn)
    }

    /// Takes the next turn for the rest.
    fn ask_for_turn(&mut self, rate: &Rate) {
        let at = rate.turn(self.rest.len().min(TURN_BYTES));
        if at > Instant::now() {
            self.waiting = Some(Box::pin(tokio::time::sleep_until(at)));
        }
    }

    fn sent(&mut self, length_bytes: usize) {
        let metrics = &self.slot.metrics.downloads;
        if !self.begun {
            self.begun = true;
            metrics.first_byte(self.slot.began.elapsed());
        }
        metrics.send(length_bytes as u64);
        self.left_bytes = self.left_bytes.saturating_sub(length_bytes as u64);
    }
}

impl hyper::body::Body for Download {
    type Data = Bytes;
    type Error = axum::Error;

    fn poll_frame(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, axum::Error>>> {
        let download = self.get_mut();
        if download.rest.is_empty() {
            let frame = match ready!(Pin::new(&mut download.body).poll_frame(context)) {
                Some(Ok(frame)) => frame,
                end => return Poll::Ready(end),
            };
            let Ok(data) = frame.into_data() else { return Poll::Ready(None) };
            let Some(rate) = download.slot.rate.clone() else {
                download.sent(data.len());
                return Poll::Ready(Some(Ok(Frame::data(data))));
            };
            download.rest = data;
            download.ask_for_turn(&rate);
        }
        let turn = ready!(download.poll_turn(context));
        if let Some(rate) = download.slot.rate.clone().filter(|_| !download.rest.is_empty()) {
            download.ask_for_turn(&rate);
        }
        download.sent(turn.len());
        Poll::Ready(Some(Ok(Frame::data(turn))))
    }

    fn is_end_stream(&self) -> bool {
        self.rest.is_empty() && self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        SizeHint::with_exact(self.left_bytes)
    }
}

impl Drop for Download {
    fn drop(&mut self) {
        let metrics = &self.slot.metrics.downloads;
        match self.left_bytes {
            0 => metrics.finish(self.slot.began.elapsed()),
            _ => metrics.abort(),
        }
    }
}
