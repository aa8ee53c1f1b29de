//! What replication counts, for whoever graphs it.

use super::transfer::FailureReason;
use std::sync::atomic::{AtomicU64, Ordering};

/// The counts; each only grows.
#[derive(Debug, Default)]
pub struct Counts {
    fetched_bytes: AtomicU64,
    fetched_files: AtomicU64,
    failed: [AtomicU64; FailureReason::ALL.len()],
    read_throughs: AtomicU64,
    evicted: AtomicU64,
    scrubbed_bytes: AtomicU64,
    rounds: AtomicU64,
    damaged: AtomicU64,
    given_back: AtomicU64,
}

impl Counts {
    pub(super) fn fetched(&self, bytes: u64) {
        self.fetched_bytes.fetch_add(bytes, Ordering::Relaxed);
    }

    pub(super) fn ended(&self, failure: Option<FailureReason>) {
        let count = failure.map_or(&self.fetched_files, |reason| &self.failed[reason as usize]);
        count.fetch_add(1, Ordering::Relaxed);
    }

    pub(super) fn wished(&self) {
        self.read_throughs.fetch_add(1, Ordering::Relaxed);
    }

    pub(super) fn evicted(&self) {
        self.evicted.fetch_add(1, Ordering::Relaxed);
    }

    pub(super) fn scrubbed(&self, bytes: u64) {
        self.scrubbed_bytes.fetch_add(bytes, Ordering::Relaxed);
    }

    pub(super) fn round(&self) {
        self.rounds.fetch_add(1, Ordering::Relaxed);
    }

    pub(super) fn damaged(&self) {
        self.damaged.fetch_add(1, Ordering::Relaxed);
    }

    pub(super) fn gave_back(&self) {
        self.given_back.fetch_add(1, Ordering::Relaxed);
    }

    /// Bytes that were hashed again.
    pub fn scrubbed_bytes(&self) -> u64 {
        self.scrubbed_bytes.load(Ordering::Relaxed)
    }

    /// How often all files were hashed again.
    pub fn scrub_rounds(&self) -> u64 {
        self.rounds.load(Ordering::Relaxed)
    }

    /// Files that were found damaged, and dropped.
    pub fn damaged_files(&self) -> u64 {
        self.damaged.load(Ordering::Relaxed)
    }

    /// Files that the store had lost and was given back.
    pub fn given_back_files(&self) -> u64 {
        self.given_back.load(Ordering::Relaxed)
    }

    /// Bytes that came from the store.
    pub fn fetched_bytes(&self) -> u64 {
        self.fetched_bytes.load(Ordering::Relaxed)
    }

    /// Files that came whole.
    pub fn fetched_files(&self) -> u64 {
        self.fetched_files.load(Ordering::Relaxed)
    }

    /// Transfers that failed for this reason.
    pub fn failed(&self, reason: FailureReason) -> u64 {
        self.failed[reason as usize].load(Ordering::Relaxed)
    }

    /// Files that were fetched at once because a phone asked for them.
    pub fn read_throughs(&self) -> u64 {
        self.read_throughs.load(Ordering::Relaxed)
    }

    /// Files that were dropped.
    pub fn evicted_files(&self) -> u64 {
        self.evicted.load(Ordering::Relaxed)
    }
}
