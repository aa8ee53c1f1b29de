//! How often each address failed within the current minute. Bounded: when the table is full, the address whose
//! minute began first is forgotten. The time is an argument.

use std::collections::HashMap;
use std::net::{IpAddr, Ipv6Addr};
use std::time::Duration;
use tokio::time::Instant;

const MINUTE: Duration = Duration::from_secs(60);

#[derive(Debug)]
struct Minute {
    began: Instant,
    failures: u32,
}

/// Counts failures by address.
#[derive(Debug)]
pub(super) struct Failures {
    addresses: HashMap<IpAddr, Minute>,
    addresses_limit: usize,
    a_minute: u32,
}

impl Failures {
    pub(super) fn new(addresses_limit: usize, a_minute: u32) -> Self {
        Self { addresses: HashMap::new(), addresses_limit, a_minute }
    }

    /// Whether the address has no attempt left.
    pub(super) fn exhausted(&self, address: IpAddr, now: Instant) -> bool {
        let minute = self.addresses.get(&network(address));
        minute.is_some_and(|minute| minute.failures >= self.a_minute && now.duration_since(minute.began) < MINUTE)
    }

    /// Counts an attempt of the address as failed; false when it has no attempt left.
    pub(super) fn count(&mut self, address: IpAddr, now: Instant) -> bool {
        let address = network(address);
        if !self.addresses.contains_key(&address) && self.addresses.len() >= self.addresses_limit {
            self.make_room(now);
        }
        let minute = self.addresses.entry(address).or_insert(Minute { began: now, failures: 0 });
        if now.duration_since(minute.began) >= MINUTE {
            *minute = Minute { began: now, failures: 0 };
        }
        let left = minute.failures < self.a_minute;
        minute.failures += u32::from(left);
        left
    }

    /// The attempt was none of a stranger after all.
    pub(super) fn uncount(&mut self, address: IpAddr) {
        if let Some(minute) = self.addresses.get_mut(&network(address)) {
            minute.failures = minute.failures.saturating_sub(1);
        }
    }

    fn make_room(&mut self, now: Instant) {
        self.addresses.retain(|_, minute| minute.failures > 0 && now.duration_since(minute.began) < MINUTE);
        if self.addresses.len() < self.addresses_limit {
            return;
        }
        let oldest = self.addresses.iter().min_by_key(|(_, minute)| minute.began).map(|(address, _)| *address);
        if let Some(oldest) = oldest {
            self.addresses.remove(&oldest);
        }
    }
}

/// Who has one IPv6 address has the 2^64 of its network.
fn network(address: IpAddr) -> IpAddr {
    match address {
        IpAddr::V4(_) => address,
        IpAddr::V6(v6) => Ipv6Addr::from_bits(v6.to_bits() & !u128::from(u64::MAX)).into(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn address(text: &str) -> IpAddr {
        text.parse().unwrap()
    }

    #[test]
    fn an_address_is_refused_after_its_failures_and_until_the_minute_is_over() {
        let (mut failures, now) = (Failures::new(10, 3), Instant::now());
        let a = address("10.0.0.1");
        let outcomes: Vec<bool> = (0..5).map(|_| failures.count(a, now)).collect();
        assert_eq!(outcomes, [true, true, true, false, false]);
        assert!(failures.count(address("10.0.0.2"), now), "another address is not concerned");
        let almost = now + MINUTE - Duration::from_millis(1);
        assert!(!failures.count(a, almost) && failures.exhausted(a, almost));
        assert!(!failures.exhausted(a, now + MINUTE));
        assert!(failures.count(a, now + MINUTE));
    }

    #[test]
    fn right_credentials_do_not_use_up_attempts() {
        let (mut failures, now) = (Failures::new(10, 1), Instant::now());
        for _ in 0..5 {
            assert!(failures.count(address("10.0.0.1"), now));
            failures.uncount(address("10.0.0.1"));
        }
    }

    #[test]
    fn an_ipv6_network_is_one_address() {
        let (mut failures, now) = (Failures::new(10, 1), Instant::now());
        assert!(failures.count(address("fd00::1"), now));
        assert!(!failures.count(address("fd00::2"), now));
        assert!(failures.count(address("fd00:0:0:1::1"), now));
    }

    #[test]
    fn the_table_stays_bounded_and_forgets_the_oldest() {
        let (mut failures, now) = (Failures::new(3, 1), Instant::now());
        for (text, after_s) in [("10.0.0.1", 0), ("10.0.0.2", 1), ("10.0.0.3", 2), ("10.0.0.4", 3)] {
            assert!(failures.count(address(text), now + Duration::from_secs(after_s)));
            assert!(failures.addresses.len() <= 3);
        }
        let later = now + Duration::from_secs(4);
        assert!(!failures.count(address("10.0.0.4"), later), "the newest is kept");
        assert!(failures.count(address("10.0.0.1"), later), "the oldest was forgotten");
    }
}
