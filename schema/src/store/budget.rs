//! How long all that one request asks of the database may take together. Each operation has a limit of its own; a request
//! that does several must not wait for each of them when the server hangs.

use std::cell::Cell;
use std::time::{Duration, Instant};

tokio::task_local! {
    static LEFT: Cell<Duration>;
}

/// Runs `work`. Its operations on the store, one after another, may take `budget` together: the one that goes beyond it
/// ends as if the server had not answered in time. Time spent on anything else does not count.
pub async fn within_budget<T>(budget: Duration, work: impl Future<Output = T>) -> T {
    LEFT.scope(Cell::new(budget), work).await
}

/// From here on each operation of this work has its own limit alone: what may rightly take long begins, and the store has
/// answered.
pub fn end_budget() {
    // Without a budget there is nothing to end.
    let _ = LEFT.try_with(|left| left.set(Duration::MAX));
}

/// What of `limit` may still be used.
pub(super) fn left(limit: Duration) -> Duration {
    LEFT.try_with(Cell::get).map_or(limit, |left| left.min(limit))
}

/// Runs something else that the store may keep waiting, for as long as `limit` and what is left of the budget allow; none
/// when that was too short.
pub async fn within_rest_of_budget<T>(limit: Duration, work: impl Future<Output = T>) -> Option<T> {
    spend(tokio::time::timeout(left(limit), work)).await.ok()
}

/// Runs an operation, and takes its time from the budget.
pub(super) async fn spend<T>(operation: impl Future<Output = T>) -> T {
    let began = Instant::now();
    let done = operation.await;
    // Without a budget nothing is counted.
    let _ = LEFT.try_with(|left| left.set(left.get().saturating_sub(began.elapsed())));
    done
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn operations_share_the_budget_and_other_time_does_not_count() {
        let limit = Duration::from_secs(60);
        assert_eq!(left(limit), limit);
        within_budget(Duration::from_secs(10), async {
            assert_eq!(left(limit), Duration::from_secs(10));
            assert_eq!(left(Duration::from_secs(1)), Duration::from_secs(1));
            tokio::time::sleep(Duration::from_millis(20)).await;
            assert_eq!(left(limit), Duration::from_secs(10));
            spend(tokio::time::sleep(Duration::from_millis(20))).await;
            assert!(left(limit) <= Duration::from_millis(9980));
        })
        .await;
        assert_eq!(left(limit), limit);
        within_budget(Duration::from_secs(10), async {
            end_budget();
            assert_eq!(left(limit), limit);
        })
        .await;
    }
}
