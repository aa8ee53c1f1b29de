//! How many connections there may be: in all, and from one address. Shared by listeners that stand for the same thing:
//! those of phones have one, the administrators' has its own, so that phones can't lock administrators out.
//!
//! Past the limit in all, the connection that has waited longest for its client makes room: it is idle, or silent, or
//! drips, and a phone that means it is done in a moment. While nobody has waited long enough, new connections wait in
//! the kernel's queue. Past the limit of an address, its own connection that has idled longest makes room; when none
//! idles, the new one is closed at once.

use super::live::Live;
use crate::metrics::ListenerCounts;
use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

/// How many connections there may be.
#[derive(Debug, Clone)]
pub struct AdmissionLimits {
    /// At one time, on all listeners that share them.
    pub connections: usize,
    /// From one IPv4 address, or one IPv6 /64, which is what one host commands.
    pub per_address: usize,
    /// How long a connection must have waited for its client before it has to make room: what a handshake over a slow
    /// line takes.
    pub room_after: Duration,
}

impl Default for AdmissionLimits {
    fn default() -> Self {
        Self { connections: 20_000, per_address: 1024, room_after: Duration::from_secs(1) }
    }
}

/// How often it is looked again for a connection that can make room, while none could.
const LOOK_AGAIN: Duration = Duration::from_millis(100);

/// A handshake has so many times as long as others before it has to make room: it takes several turns of a slow line.
const HANDSHAKE_TIMES: u32 = 3;

/// Admits connections.
#[derive(Debug)]
pub struct Admission {
    limits: AdmissionLimits,
    free: Arc<Semaphore>,
    open: Mutex<Open>,
}

#[derive(Debug, Default)]
struct Open {
    next_id: u64,
    connections: HashMap<u64, Arc<Live>>,
    /// Those whose address is known, by what it counts as.
    addresses: HashMap<IpAddr, Vec<(u64, Arc<Live>)>>,
}

/// The place of one connection, given back when dropped.
#[derive(Debug)]
pub(super) struct Place {
    admission: Arc<Admission>,
    id: u64,
    address: Option<IpAddr>,
    pub(super) live: Arc<Live>,
    _permit: OwnedSemaphorePermit,
}

impl Admission {
    /// With nobody in.
    pub fn new(limits: AdmissionLimits) -> Arc<Self> {
        let free = Arc::new(Semaphore::new(limits.connections));
        Arc::new(Self { limits, free, open: Mutex::default() })
    }

    /// A permit for one more connection; waits while there is none, and makes room meanwhile.
    pub(super) async fn permit(&self) -> Option<OwnedSemaphorePermit> {
        if let Ok(permit) = Arc::clone(&self.free).try_acquire_owned() {
            return Some(permit);
        }
        loop {
            self.make_room();
            let waiting = Arc::clone(&self.free).acquire_owned();
            if let Ok(permit) = tokio::time::timeout(LOOK_AGAIN, waiting).await {
                return permit.ok();
            }
        }
    }

    /// Takes the place that a permit stands for.
    pub(super) fn enter(self: &Arc<Self>, permit: OwnedSemaphorePermit, counts: &Arc<ListenerCounts>) -> Place {
        let live = Arc::new(Live::new(Arc::clone(counts)));
        let mut open = self.open();
        let id = open.next_id;
        open.next_id += 1;
        open.connections.insert(id, Arc::clone(&live));
        Place { admission: Arc::clone(self), id, address: None, live, _permit: permit }
    }

    /// Tells the one that has waited longest for its client to end.
    fn make_room(&self) {
        let open = self.open();
        let Some((since, live)) = longest_waiting(open.connections.values(), self.limits.room_after) else { return };
        // One that is busy by now stays; the next look finds another.
        let _ = live.make_room(since);
    }

    fn open(&self) -> MutexGuard<'_, Open> {
        // Every change of what it guards is whole before anything can panic.
        self.open.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Place {
    /// Says whose connection it is; false when the address has as many as it may, and none of them can make room: behind
    /// one address there may be many phones.
    pub(super) fn claim(&mut self, address: IpAddr) -> bool {
        let key = counted_as(address);
        let mut open = self.admission.open();
        let AdmissionLimits { per_address, room_after, .. } = self.admission.limits;
        let others = open.addresses.entry(key).or_default();
        if others.len() >= per_address {
            let idle = others.iter().map(|(_, live)| live).filter(|live| live.is_idle());
            let Some((since, live)) = longest_waiting(idle, room_after) else { return false };
            if !live.make_room(since) {
                return false;
            }
        }
        others.push((self.id, Arc::clone(&self.live)));
        drop(open);
        self.address = Some(key);
        true
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let mut open = self.admission.open();
        open.connections.remove(&self.id);
        let Some(key) = self.address else { return };
        if let Some(others) = open.addresses.get_mut(&key) {
            others.retain(|(id, _)| *id != self.id);
            if others.is_empty() {
                open.addresses.remove(&key);
            }
        }
    }
}

/// The connection that has waited longest for its client, and since when; none when nobody has waited long enough.
fn longest_waiting<'a>(
    connections: impl Iterator<Item = &'a Arc<Live>>,
    room_after: Duration,
) -> Option<(Instant, &'a Arc<Live>)> {
    let now = Instant::now();
    let mut longest: Option<(Instant, &Arc<Live>)> = None;
    for live in connections {
        let Some(since) = live.waiting_since() else { continue };
        // A handshake counts from its begin, whatever has come of it.
        let enough = if live.is_handshake() { room_after * HANDSHAKE_TIMES } else { room_after };
        if now.saturating_duration_since(since) >= enough && longest.is_none_or(|(first, _)| since < first) {
            longest = Some((since, live));
        }
    }
    longest
}

/// One host commands a whole /64 of IPv6 addresses: it counts as one.
pub(crate) fn counted_as(address: IpAddr) -> IpAddr {
    match address {
        IpAddr::V4(_) => address,
        IpAddr::V6(v6) => IpAddr::from((u128::from(v6) & (u128::MAX << 64)).to_be_bytes()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::metrics::{ListenerKind, Metrics};

    fn admission(connections: usize, per_address: usize, room_after: Duration) -> Arc<Admission> {
        Admission::new(AdmissionLimits { connections, per_address, room_after })
    }

    async fn enter(admission: &Arc<Admission>) -> Place {
        let counts = Metrics::new().listeners.of(ListenerKind::InternalHttp);
        admission.enter(admission.permit().await.unwrap(), &counts)
    }

    #[tokio::test]
    async fn an_ipv6_network_of_64_bits_counts_as_one_address() {
        let admission = admission(10, 2, Duration::ZERO);
        let mut places = Vec::new();
        for (address, admitted) in [
            ("fd00:0:0:1::1", true),
            ("fd00:0:0:1:ffff::2", true),
            ("fd00:0:0:1::3", false),
            ("fd00:0:0:2::1", true),
            ("10.0.0.1", true),
            ("10.0.0.1", true),
            ("10.0.0.1", false),
            ("10.0.0.2", true),
        ] {
            let mut place = enter(&admission).await;
            assert_eq!(place.claim(address.parse().unwrap()), admitted, "{address}");
            if admitted {
                places.push(place);
            }
        }
        places.clear();
        assert!(admission.open().addresses.is_empty() && admission.open().connections.is_empty());
        assert!(enter(&admission).await.claim("fd00:0:0:1::9".parse().unwrap()));
    }

    #[tokio::test]
    async fn who_waits_longest_makes_room_and_who_is_busy_stays() {
        let admission = admission(3, 9, Duration::ZERO);
        let (busy, oldest, newest) = (enter(&admission).await, enter(&admission).await, enter(&admission).await);
        busy.live.begin_request();
        oldest.live.idle();
        // Times are in whole milliseconds.
        while newest.live.waiting_since() <= oldest.live.waiting_since() {
            newest.live.idle();
        }
        let leaving = async move {
            oldest.live.ended().await;
            drop(oldest);
        };
        let (_, entered) = tokio::join!(leaving, enter(&admission));
        assert!(newest.live.is_waiting() && !busy.live.is_waiting());
        drop(entered);
    }

    #[tokio::test]
    async fn a_handshake_has_longer_than_others_and_then_makes_room_too() {
        let room_after = Duration::from_millis(150);
        let admission = admission(2, 9, room_after);
        let began = Instant::now();
        let (handshake, idle) = (enter(&admission).await, enter(&admission).await);
        idle.live.idle();
        assert!(handshake.live.waiting_since() <= idle.live.waiting_since());
        let leaving = async move {
            idle.live.ended().await;
            drop(idle);
        };
        let ((), busy) = tokio::join!(leaving, enter(&admission));
        busy.live.begin_request();
        let leaving = async {
            handshake.live.ended().await;
            drop(handshake);
        };
        let ((), entered) = tokio::join!(leaving, enter(&admission));
        assert!(began.elapsed() >= room_after * HANDSHAKE_TIMES, "{:?}", began.elapsed());
        drop((busy, entered));
    }

    #[tokio::test]
    async fn nobody_is_pushed_out_before_its_time() {
        let admission = admission(1, 9, Duration::from_secs(3600));
        let place = enter(&admission).await;
        let waiting = tokio::time::timeout(LOOK_AGAIN * 3, admission.permit()).await;
        assert!(waiting.is_err());
        drop(place);
        assert!(admission.permit().await.is_some());
    }
}
