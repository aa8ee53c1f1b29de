//! What was ever imported into a pool, and phones that compare with it what they get.

use super::told;
use crate::gcab;
use crate::phone::Phone;
use sha2::{Digest as _, Sha256};
use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};

/// Every file that was ever sent: its path in the store, and its SHA-256.
#[derive(Debug, Clone, Default)]
pub struct Sent(Arc<Mutex<BTreeMap<String, String>>>);

impl Sent {
    /// Bytes that are about to be sent. Their digest.
    pub fn add(&self, path: &str, bytes: &[u8]) -> String {
        let digest = hex::encode(Sha256::digest(bytes));
        self.0.lock().unwrap().insert(path.to_owned(), digest.clone());
        digest
    }

    /// All of them.
    pub fn all(&self) -> BTreeMap<String, String> {
        self.0.lock().unwrap().clone()
    }
}

/// What [`crate::balancer::BalancedPool`] publishes first.
pub(super) fn first() -> Sent {
    let sent = Sent::default();
    sent.add("UCPhone/Polycom/CX600/A/ENU/4.0.7577.4387/CPE/CPE.nbt", &gcab::image(1, 300_000));
    sent
}

/// Asks as a phone of this model, and downloads what is offered: whether anything was. A sentence that begins with `wrong`
/// when it is not what was sent, or is not there; another when no answer came, or the phone shall come again.
pub async fn image_offered(phone: &Phone, model: &str, sent: &Sent) -> Result<bool, String> {
    let answer = told(phone, model).await.map_err(|error| format!("no answer: {error:#}"))?;
    let Some(version) = answer.split_once("<Version>").and_then(|(_, rest)| rest.split_once('<')) else {
        return Ok(false);
    };
    let path = super::path_of(model, version.0);
    let file = phone.get(&format!("/DeviceUpdateFiles_Int/{path}")).await;
    let file = file.map_err(|error| format!("no answer: {error:#}"))?;
    match file.status {
        200 if sent.all().get(&path) == Some(&hex::encode(Sha256::digest(&file.body))) => Ok(true),
        200 => Err(format!("wrong bytes of {path}")),
        503 => Err(format!("{path} is to be asked for again")),
        status => Err(format!("wrong: {path} was offered, and is answered {status}")),
    }
}
