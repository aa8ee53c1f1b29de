//! The files of the cluster agree with each other and with the program. Needs no engine.

use node::config::Config;

const DOCKERFILE: &str = include_str!("../../../deploy/Dockerfile");
const COMPOSE: &str = include_str!("../../../docker-compose.yml");
const TOOLCHAIN: &str = include_str!("../../../rust-toolchain.toml");
const S3: &str = include_str!("../../../deploy/compose/node-s3.toml");
const FOLDER: &str = include_str!("../../../deploy/compose/node-folder.toml");

#[test]
fn the_image_is_built_with_the_toolchain_of_the_repository() {
    let toolchain: toml::Table = TOOLCHAIN.parse().unwrap();
    let image = format!("rust:{}-bookworm", toolchain["toolchain"]["channel"].as_str().unwrap());
    assert!(DOCKERFILE.contains(&format!("ARG RUST_IMAGE={image}\n")), "{image}");
    assert!(COMPOSE.contains(&format!("${{UCUPDATES_RUST_IMAGE:-{image}}}")), "{image}");
}

#[test]
fn nodes_run_with_a_valid_configuration_that_the_balancer_agrees_with() {
    let config = Config::parse(FOLDER).unwrap();
    assert!(COMPOSE.contains(&format!("${{UCUPDATES_POOL:-{}}}", config.pool.fqdn)));
    let listeners = config.listeners;
    for (listener, port, is_balanced) in [
        (listeners.internal_http, 80, true),
        (listeners.internal_https, 443, true),
        (listeners.external_https, 4443, true),
        // Never by PROXY protocol: the balancer's checks and the administrators come straight.
        (listeners.management_https, 9443, false),
    ] {
        let ports: Vec<u16> = listener.addresses.iter().map(std::net::SocketAddr::port).collect();
        assert_eq!((ports, !listener.proxy_from.is_empty()), (vec![port], is_balanced));
    }
}

/// The lines of a configuration that are no comments, without those of [store].
fn beside_the_store(text: &str) -> Vec<&str> {
    let mut is_store = false;
    let lines = text.lines().filter(|line| !line.starts_with('#') && !line.is_empty());
    lines
        .filter(|line| {
            is_store = if line.starts_with('[') { *line == "[store]" } else { is_store };
            !is_store
        })
        .collect()
}

#[test]
fn the_two_configurations_differ_in_the_store_alone() {
    assert_eq!(beside_the_store(FOLDER), beside_the_store(S3));
    assert_ne!(FOLDER, S3);
    Config::parse(S3).unwrap();
}
