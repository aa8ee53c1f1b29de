//! Session tickets of TLS: what a phone brings to its next connection, on any node of its pool, instead of a whole handshake.
//! Encrypted with the pool's keys, or with one of this process until the Central Management store has told those
//! (decision 0025). The keys are in memory alone, and never logged.
//!
//! A ticket is the key's name (16 bytes), a random nonce (12), and what rustls put in, sealed by AES-256-GCM-SIV with the name
//! as additional data.

use super::TlsError;
use arc_swap::ArcSwap;
use aws_lc_rs::aead::{AES_256_GCM_SIV, Aad, NONCE_LEN, Nonce, RandomizedNonceKey};
use rustls::server::ProducesTickets;
use schema::store::TicketKey;
use std::sync::Arc;

/// Bytes of a key's name.
const NAME_LEN: usize = 16;

/// How long a phone is told that a ticket is of use: so long after it was given, the keys before the one that encrypts are
/// still accepted when keys are made every 12 hours. A phone asks once a day.
const LIFETIME_S: u32 = 24 * 60 * 60;

/// The keys of a node's listeners.
#[derive(Debug)]
pub struct Tickets {
    own: Arc<Key>,
    ring: ArcSwap<Ring>,
}

/// The key that encrypts, and all that decrypt.
#[derive(Debug)]
struct Ring {
    encrypts: Arc<Key>,
    decrypt: Vec<Arc<Key>>,
}

#[derive(Debug)]
struct Key {
    name: [u8; NAME_LEN],
    aead: RandomizedNonceKey,
}

impl Key {
    fn new(name: [u8; NAME_LEN], secret: &[u8; 32]) -> Result<Arc<Self>, TlsError> {
        let aead = RandomizedNonceKey::new(&AES_256_GCM_SIV, secret).map_err(|_| TlsError::TicketKey)?;
        Ok(Arc::new(Self { name, aead }))
    }

    fn seal(&self, plain: &[u8]) -> Option<Vec<u8>> {
        let mut sealed = plain.to_vec();
        let nonce = self.aead.seal_in_place_append_tag(Aad::from(self.name), &mut sealed).ok()?;
        Some([self.name.as_slice(), nonce.as_ref(), &sealed].concat())
    }

    fn open(&self, nonce: &[u8; NONCE_LEN], sealed: &[u8]) -> Option<Vec<u8>> {
        let mut plain = sealed.to_vec();
        let opened = self.aead.open_in_place(Nonce::assume_unique_for_key(*nonce), Aad::from(self.name), &mut plain);
        let length = opened.ok()?.len();
        plain.truncate(length);
        Some(plain)
    }
}

impl Tickets {
    /// With a key of this process alone.
    pub fn new() -> Result<Arc<Self>, TlsError> {
        let (mut name, mut secret) = ([0; NAME_LEN], [0; 32]);
        for bytes in [name.as_mut_slice(), secret.as_mut_slice()] {
            aws_lc_rs::rand::fill(bytes).map_err(|_| TlsError::TicketKey)?;
        }
        let own = Key::new(name, &secret)?;
        let ring = Ring { encrypts: Arc::clone(&own), decrypt: vec![Arc::clone(&own)] };
        Ok(Arc::new(Self { own, ring: ArcSwap::from_pointee(ring) }))
    }

    /// From now on with these. Tickets of the process's own key go on being accepted: they were given while the pool's were
    /// not known. Without a key that encrypts nothing changes.
    pub fn set(&self, keys: &[TicketKey]) -> Result<(), TlsError> {
        let (mut encrypts, mut decrypt) = (None, vec![Arc::clone(&self.own)]);
        for key in keys {
            let made = Key::new(key.name, &key.secret)?;
            if key.encrypts {
                encrypts = Some(Arc::clone(&made));
            }
            decrypt.push(made);
        }
        if let Some(encrypts) = encrypts {
            self.ring.store(Arc::new(Ring { encrypts, decrypt }));
        }
        Ok(())
    }
}

impl ProducesTickets for Tickets {
    fn enabled(&self) -> bool {
        true
    }

    fn lifetime(&self) -> u32 {
        LIFETIME_S
    }

    fn encrypt(&self, plain: &[u8]) -> Option<Vec<u8>> {
        self.ring.load().encrypts.seal(plain)
    }

    fn decrypt(&self, ticket: &[u8]) -> Option<Vec<u8>> {
        let (name, rest) = ticket.split_first_chunk::<NAME_LEN>()?;
        let (nonce, sealed) = rest.split_first_chunk::<NONCE_LEN>()?;
        self.ring.load().decrypt.iter().find(|key| key.name == *name)?.open(nonce, sealed)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key(number: u8, encrypts: bool) -> TicketKey {
        TicketKey { name: [number; NAME_LEN], secret: [number; 32], encrypts }
    }

    fn with(keys: &[TicketKey]) -> Arc<Tickets> {
        let tickets = Tickets::new().unwrap();
        tickets.set(keys).unwrap();
        tickets
    }

    #[test]
    fn a_ticket_is_opened_by_every_holder_of_its_key_and_by_nobody_else() {
        let (one, two) = (with(&[key(2, false), key(1, true)]), with(&[key(2, true), key(1, false)]));
        let ticket = one.encrypt(b"a session").unwrap();
        assert_ne!(ticket, one.encrypt(b"a session").unwrap(), "a nonce is used once");
        for holder in [&one, &two] {
            assert_eq!(holder.decrypt(&ticket).unwrap(), b"a session");
        }
        assert_eq!(one.decrypt(&two.encrypt(b"newer").unwrap()).unwrap(), b"newer");
        let other = TicketKey { secret: [9; 32], ..key(1, true) };
        for stranger in [with(&[key(3, true), key(2, false)]), with(&[other]), Tickets::new().unwrap()] {
            assert_eq!(stranger.decrypt(&ticket), None);
        }
    }

    #[test]
    fn a_changed_or_cut_ticket_is_none() {
        let tickets = with(&[key(1, true), key(2, false)]);
        let ticket = tickets.encrypt(b"a session").unwrap();
        for length in 0..ticket.len() {
            assert_eq!(tickets.decrypt(&ticket[..length]), None, "{length}");
        }
        for place in 0..ticket.len() {
            let mut changed = ticket.clone();
            changed[place] ^= 3; // The name of key 1 becomes that of key 2.
            assert_eq!(tickets.decrypt(&changed), None, "{place}");
        }
        let renamed = [&[2; NAME_LEN], &ticket[NAME_LEN..]].concat();
        assert_eq!(tickets.decrypt(&renamed), None);
    }

    #[test]
    fn tickets_given_before_the_pools_keys_were_known_are_accepted_afterwards() {
        let tickets = Tickets::new().unwrap();
        let ticket = tickets.encrypt(b"early").unwrap();
        tickets.set(&[]).unwrap();
        assert_eq!(tickets.encrypt(b"x").unwrap()[..NAME_LEN], ticket[..NAME_LEN], "nothing changes");
        tickets.set(&[key(1, true)]).unwrap();
        assert_eq!(tickets.encrypt(b"x").unwrap()[..NAME_LEN], [1; NAME_LEN]);
        assert_eq!(tickets.decrypt(&ticket).unwrap(), b"early");
    }

    #[test]
    fn no_key_is_shown() {
        let shown = format!("{:?} {:?}", key(7, true), with(&[key(7, true)]));
        assert!(!shown.contains("7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7"), "{shown}");
    }
}
