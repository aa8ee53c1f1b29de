//! What the containers of a running cluster may do, as the engine tells it.

use serde_json::Value;
use std::process::Command;
use tests::cluster::{Cluster, docker};

async fn inspected(container: &str) -> Value {
    let told = docker(&["inspect", container]).await.ok();
    serde_json::from_str::<Vec<Value>>(&told).unwrap().remove(0)
}

/// No container is root but the one that makes the secrets, none can write to its image, only the balancer is reachable
/// from outside, by loopback alone, and no secret is in an environment.
pub async fn is_as_said(cluster: &Cluster) {
    for (service, user) in
        [("setup", "0:0"), ("postgres", "999:999"), ("migrate", ""), ("node", ""), ("balancer", "99:99")]
    {
        for container in cluster.containers(service).await {
            let told = inspected(&container).await;
            let (config, host) = (&told["Config"], &told["HostConfig"]);
            let expected = if user.is_empty() { "10001:10001" } else { user };
            assert_eq!(config["User"], expected, "{container}");
            assert_eq!(host["ReadonlyRootfs"], true, "{container}");
            assert_eq!(host["Privileged"], false, "{container}");
            assert_eq!(host["CapDrop"], serde_json::json!(["ALL"]), "{container}");
            assert_eq!(host["SecurityOpt"], serde_json::json!(["no-new-privileges:true"]), "{container}");
            let ports = host["PortBindings"].as_object().cloned().unwrap_or_default();
            assert_eq!(ports.len(), if service == "balancer" { 5 } else { 0 }, "{container}: {ports:?}");
            let bound = ports.values().flat_map(|bindings| bindings.as_array().unwrap());
            assert!(bound.into_iter().all(|binding| binding["HostIp"] == "127.0.0.1"), "{container}: {ports:?}");
            let environment = config["Env"].to_string();
            assert!(!environment.contains("PASSWORD=") && !environment.contains("ucu_"), "{container}: {environment}");
        }
    }
    assert_eq!(cluster.containers("node").await.len(), 3);
    // Nodes of one pool that phones trust by one authority, and whose names differ.
    let status = cluster.admin("status").await.ok();
    assert!(status.contains("Pool       : pool01.contoso.com"), "{status}");
}

/// TLS 1.0 by the published port of the legacy VIP: a check is answered, the API is not there.
pub async fn old_phones_are_answered(cluster: &Cluster) {
    let legacy = cluster.published(8443).await;
    let curl = |path: &str, body: &str| {
        let mut curl = Command::new("curl");
        curl.args(["--silent", "--show-error", "--noproxy", "*", "--max-time", "20", "--tlsv1.0", "--tls-max", "1.0"]);
        curl.args(["--ciphers", "DEFAULT:@SECLEVEL=0", "--write-out", "%{http_code}", "--data", body, "--cacert"]);
        let output = curl.arg(cluster.authority()).arg(format!("https://{legacy}{path}")).output().unwrap();
        String::from_utf8_lossy(&[output.stdout, output.stderr].concat()).into_owned()
    };
    let request = "<Request><DeviceType>UCPhone</DeviceType><MacAddress>0021630F207B</MacAddress><Vendor>Polycom</Vendor>\
                   <Model>CX700</Model><Revision>A</Revision><Locale>ENU</Locale><Module><FileName>cpe.nbt</FileName>\
                   <Version>4.0.7577.1</Version></Module></Request>";
    let answer = curl("/RequestHandler/ucdevice.upx", request);
    assert!(answer.contains("<Version>4.0.7577.100</Version>") && answer.ends_with("200"), "{answer}");
    assert!(curl("/api/v1/status", "").ends_with("404"));
}
