//! Every route of the phone plane, in one list. Management routes are never here, and no route here is on the
//! management listener.

use crate::plane::{PhonePlane, Side};
use axum::Router;
use std::sync::Arc;

/// The routes of a phone listener. The side is the listener's, never the path's: both families of paths are served on
/// both sides (rows K10, K12).
pub fn phone_router(plane: Arc<PhonePlane>, side: Side) -> Router {
    let _ = (plane, side);
    Router::new()
}
