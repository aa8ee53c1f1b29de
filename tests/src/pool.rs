//! A pool that is there to be harmed: real nodes behind the shipped balancer's configuration, a PostgreSQL of its own, and a
//! proxy in each node's way to what it needs. Everything ends with the value.

mod fleet;
mod sent;
mod store;
mod way;

pub use fleet::{ChaosFleet, PHONES, Patience, all_have_what_they_shall_have};
pub use sent::{Sent, image_offered};
pub use store::Kept;
pub use way::{Behind, ChaosProxy, Way};

use crate::balancer::BalancedPool;
use crate::cab::{CabBuilder, Packing};
use crate::database::{TestServer, wait_until};
use crate::gcab;
use crate::node::set;
use crate::phone::Phone;
use crate::program::{Serving, kill_now};
use std::time::Duration;
use store::Store;

/// Nodes of a pool.
pub const NODES: usize = 3;

/// How often the nodes look at the database, as shipped.
pub const POLL_INTERVAL: Duration = Duration::from_secs(5);

/// The models of the phones.
pub const MODELS: [&str; 3] = ["CX500", "CX600", "CX700"];

/// What is installed before anything was downloaded.
const OLDER: &str = "4.0.7577.4066";

/// Bytes of an image, and how many a second a node sends: so slow that a kill finds downloads in the middle.
const IMAGE_BYTES: usize = 400_000;
const DOWNLOAD_BYTES_PER_S: i64 = 8_000_000;

/// What was imported.
#[derive(Debug, Clone)]
pub struct Import {
    /// The version of each model.
    pub version: String,
    /// The SHA-256 of each image.
    pub digests: Vec<String>,
}

/// A package that was not sent yet.
#[derive(Debug)]
pub struct Package {
    /// The cabinet.
    pub bytes: Vec<u8>,
    /// What it will be.
    pub import: Import,
}

/// The pool.
pub struct ChaosPool {
    /// Nodes and balancer.
    pub balanced: BalancedPool,
    /// PostgreSQL.
    pub database: TestServer,
    /// Each node's way to it.
    pub ways_to_database: Vec<ChaosProxy>,
    store: Store,
    /// What was ever imported.
    pub sent: Sent,
    /// Numbers imports, and so versions.
    imports: u32,
}

impl ChaosPool {
    /// A pool whose phones of all models have something to update to.
    pub async fn start(kept: Kept) -> Self {
        let database = TestServer::start().await;
        let db = database.migrated().await;
        let known: tokio_postgres::Config = db.url().parse().unwrap();
        let [tokio_postgres::config::Host::Unix(folder)] = known.get_hosts() else { panic!("{known:?}") };
        let socket = folder.join(format!(".s.PGSQL.{}", known.get_ports()[0]));
        let mut ways_to_database = Vec::new();
        for _ in 0..NODES {
            ways_to_database.push(ChaosProxy::start(Behind::Socket(socket.clone())).await);
        }
        let store = Store::start(kept).await;
        let (user, name) = (known.get_user().unwrap(), known.get_dbname().unwrap());
        let balanced = BalancedPool::start_on(&db, NODES, |number, table| {
            let port = ways_to_database[number].address.port();
            let url = format!("host=127.0.0.1 port={port} user={user} dbname={name} sslmode=disable");
            set(table, "database.url", url);
            set(table, "database.poll_interval_ms", i64::try_from(POLL_INTERVAL.as_millis()).unwrap());
            set(table, "downloads.most_bytes_per_s", DOWNLOAD_BYTES_PER_S);
            store.configure(number, table);
        });
        let balanced = balanced.await;
        let mut pool = Self { balanced, database, ways_to_database, store, sent: sent::first(), imports: 0 };
        pool.publish(0).await;
        pool
    }

    /// The nodes.
    pub fn nodes(&self) -> &[Serving] {
        &self.balanced.nodes
    }

    /// A package with an image of a new version for each model.
    pub fn make_package(&mut self) -> Package {
        self.imports += 1;
        let (version, number) = (format!("4.0.7577.{}", 5000 + self.imports), u64::from(self.imports));
        let images: Vec<_> = MODELS
            .iter()
            .zip(number * 10..)
            .map(|(model, seed)| (path_of(model, &version), gcab::image(seed, IMAGE_BYTES)))
            .collect();
        let digests = images.iter().map(|(path, image)| self.sent.add(path, image)).collect();
        let mut cab = CabBuilder::new().folder(Packing::Stored);
        for (path, image) in &images {
            cab = cab.file(&path.replace('/', "\\"), image);
        }
        Package { bytes: cab.build().bytes, import: Import { version, digests } }
    }

    /// Imports such a package by this node.
    pub async fn import(&mut self, node: usize) -> Import {
        let Package { bytes, import } = self.make_package();
        self.nodes()[node].import("update.cab", bytes).await.unwrap();
        import
    }

    /// Waits until these nodes have the import's files on their own disks. A phone that asks before is told of nothing.
    pub async fn is_held(&self, nodes: &[usize], import: &Import) {
        for node in nodes {
            let replica = self.nodes()[*node].program.path("data/replica");
            let held = || import.digests.iter().all(|digest| replica.join(&digest[..2]).join(digest).is_file());
            wait_until(&format!("node {node} holds {}", import.version), async || held()).await;
        }
    }

    /// Approves all that is pending, by this node: as often as it takes, because it may have been without a database.
    pub async fn approve(&self, node: usize) {
        let approve = async || self.nodes()[node].api("POST", "/rules/approve", b"{\"all\":true}").await.status == 200;
        wait_until("the approval is taken", approve).await;
    }

    /// Imports and approves, and waits until every node tells phones so.
    pub async fn publish(&mut self, node: usize) {
        let import = self.import(node).await;
        self.is_held(&[0, 1, 2], &import).await;
        self.approve(node).await;
        self.write_model(node).await;
        self.is_told_everywhere(&import).await;
    }

    /// Waits until each node tells a phone of every model this version.
    pub async fn is_told_everywhere(&self, import: &Import) {
        let version = import.version.as_str();
        for node in self.nodes() {
            for model in MODELS {
                let told =
                    async || told(&node.phone_by_balancer(), model).await.is_ok_and(|told| told.contains(version));
                wait_until(&format!("{} tells a {model} {version}", node.management), told).await;
            }
        }
    }

    /// Writes down what phones must be told now.
    pub async fn write_model(&self, node: usize) {
        let path = self.balanced.folder.path().join("model.json");
        let new = path.with_extension("new");
        let words = ["phone", "model", "--output", new.to_str().unwrap()];
        wait_until("the rules are read", async || self.nodes()[node].cli(&words).await.code == 0).await;
        std::fs::rename(new, path).unwrap();
    }

    /// What happens from now on on this node's ways to everything but phones and administrators. Its store is a bucket.
    pub fn set_ways_of(&self, node: usize, way: Way) {
        self.ways_to_database[node].set(way);
        self.store.set(node, way);
    }

    /// What happens from now on on the ways of all nodes to their store.
    pub fn set_ways_to_store(&self, way: Way) {
        self.store.set_all(way, self.balanced.folder.path());
    }

    /// This node alone offers a phone of every model a file, and sends it.
    pub async fn serves(&self, node: usize) {
        for model in MODELS {
            let offered = image_offered(&self.nodes()[node].phone_by_balancer(), model, &self.sent).await;
            assert_eq!(offered, Ok(true), "node {node} and a {model}");
        }
    }

    /// Kills a node, leaves it dead for so long, and starts it again.
    pub async fn kill(&mut self, node: usize, dead_for: Duration) {
        kill_now(&self.nodes()[node].process);
        self.balanced.wait_for_servers(NODES - 1).await;
        tokio::time::sleep(dead_for).await;
        self.balanced.nodes[node].process.end().await;
        self.balanced.nodes[node] = self.nodes()[node].program.start().await;
        self.balanced.wait_for_servers(NODES).await;
    }
}

/// The file of a model's update.
fn path_of(model: &str, version: &str) -> String {
    format!("UCPhone/Polycom/{model}/A/ENU/{version}/CPE/CPE.nbt")
}

/// What a phone of this model is told that has an older version.
async fn told(phone: &Phone, model: &str) -> anyhow::Result<String> {
    let request = format!(
        "<Request><DeviceType>UCPhone</DeviceType><MacAddress>0021630F207B</MacAddress><Vendor>Polycom</Vendor>\
         <Model>{model}</Model><Revision>A</Revision><Locale>ENU</Locale><Module><FileName>cpe.nbt</FileName>\
         <Version>{OLDER}</Version></Module></Request>"
    );
    Ok(phone.post("/RequestHandler/ucdevice.upx", &request).await?.text().to_owned())
}
