//! The balancer: the shipped HAProxy configuration itself, before real nodes, on loopback. Old phones come by the legacy
//! VIP, nobody reaches the API, nobody is inside who only says so, and nodes leave and come without a failed request.

mod nodes;
mod old_phones;
mod strangers;

use std::process::Stdio;
use tests::balancer::BalancedPool;

/// What phones ask.
const HANDLER: &str = "/RequestHandler/ucdevice.upx";

/// The image that is approved, below any of the folders of update files.
const IMAGE: &str = "UCPhone/Polycom/CX600/A/ENU/4.0.7577.4387/CPE/CPE.nbt";

/// A request of the phone with this address, which has an older version.
fn request(mac: &str) -> String {
    format!(
        "<Request><DeviceType>UCPhone</DeviceType><MacAddress>{mac}</MacAddress><Vendor>Polycom</Vendor>\
         <Model>CX600</Model><Revision>A</Revision><Locale>ENU</Locale><Module><FileName>cpe.nbt</FileName>\
         <Version>4.0.7577.4066</Version></Module></Request>"
    )
}

#[tokio::test]
async fn the_shipped_configuration_is_taken_without_a_warning() {
    let pool = BalancedPool::start(1, |_| {}).await;
    let mut checked = pool.haproxy(&["-c"]);
    let output = checked.stdout(Stdio::piped()).stderr(Stdio::piped()).output().await.unwrap();
    let said = String::from_utf8_lossy(&[output.stdout, output.stderr].concat()).into_owned();
    assert!(output.status.success() && !said.contains("WARNING"), "{said}");
}
