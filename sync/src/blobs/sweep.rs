//! Deletes staged files that a crash left behind. What a bucket still holds of an upload that was never completed has no
//! name, and object_store cannot list it: the bucket's own rule deletes that (`deploy/config.toml` says which).

use super::{BlobError, Blobs, STAGING_FOLDER};
use futures_util::TryStreamExt as _;
use jiff::{Timestamp, ToSpan as _};
use object_store::path::Path as ObjectPath;
use object_store::{Error, ObjectMeta, ObjectStore as _, ObjectStoreExt as _};
use schema::topology::ServiceId;
use std::sync::Arc;

/// Staged files that are older than this, of whichever node, belong to no import that still runs.
const STAGING_AGE_LIMIT_HOURS: i64 = 24;

impl Blobs {
    /// Deletes staged files that a crash left behind: all that an earlier process of this node staged; of this one and
    /// of other nodes the old ones, because they may be importing. The number of files that were deleted.
    pub async fn sweep(&self, service: &ServiceId, now: Timestamp) -> Result<usize, BlobError> {
        let staging = ObjectPath::from(service.as_str()).join(STAGING_FOLDER);
        let doing = || format!("sweeping {staging}");
        let (store, blobs, folder) = (Arc::clone(&self.store), self.clone(), staging.clone());
        let swept = async move {
            let mut swept = 0;
            for file in store.list(Some(&folder)).try_collect::<Vec<ObjectMeta>>().await? {
                if !blobs.is_litter(&file, &folder, now) {
                    continue;
                }
                match store.delete(&file.location).await {
                    Ok(()) => swept += 1,
                    Err(Error::NotFound { .. }) => {}
                    Err(error) => return Err(error),
                }
            }
            Ok(swept)
        };
        self.long_step(doing, swept).await?.map_err(|error| self.failed(doing(), &error, 0))
    }

    /// A file whose clock is ahead is not old.
    fn is_litter(&self, file: &ObjectMeta, folder: &ObjectPath, now: Timestamp) -> bool {
        let mut names = file.location.prefix_match(folder).into_iter().flatten();
        let (node, name) = (names.next(), names.next());
        let own = node.is_some_and(|node| node.as_ref() == ObjectPath::from(self.node.as_str()).as_ref());
        let of_this_run = name.is_some_and(|name| name.as_ref().starts_with(&self.run.to_string()));
        let limit = now - STAGING_AGE_LIMIT_HOURS.hours();
        let old = file.last_modified.timestamp() < limit.as_second();
        old || (own && !of_this_run)
    }
}
