//! What the containers of a running cluster may do, as the engine tells it.

use serde_json::Value;
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
