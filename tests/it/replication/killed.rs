//! A node that is killed again and again while it replicates: no torn file is ever visible, and no rule is offered without its
//! bytes.

use super::{TestPool, held};
use crate::crash::replica_is_whole;
use std::time::Duration;
use tests::database::wait_until;
use tests::gcab::{image, package};
use tests::node::set;
use tests::program::Serving;

/// Kills in a run; `UCUPDATES_TEST_KILLS=1000` is the long form.
const KILLS: usize = 40;

/// An import comes before every so many kills.
const KILLS_AN_IMPORT: usize = 8;

const SIZES: [usize; 3] = [700, 300_000, 4_000_000];

fn folder(import: usize, model: usize) -> String {
    format!("UCPhone/Polycom/CX{model}/A/ENU/4.0.7577.{}/CPE", import + 1)
}

fn bytes(import: usize, model: usize) -> Vec<u8> {
    image((import * 10 + model) as u64 + 1, SIZES[model])
}

async fn import(pool: &TestPool, node: &Serving, number: usize) {
    let entries: Vec<(String, Vec<u8>)> =
        (0..SIZES.len()).map(|model| (format!("{}/CPE.nbt", folder(number, model)), bytes(number, model))).collect();
    let entries: Vec<(&str, &[u8])> = entries.iter().map(|(path, bytes)| (path.as_str(), bytes.as_slice())).collect();
    let package = package(pool.folder.path(), &format!("{number}.cab"), "2008-12-16 04:43:58", &entries);
    node.cli(&["import", package.to_str().unwrap()]).await.ok();
    node.cli(&["rule", "approve", "--all"]).await.ok();
}

/// What a phone is offered it gets, whole and right.
async fn offers_are_kept(node: &Serving, imports: usize) {
    for model in 0..SIZES.len() {
        let request = format!(
            "<Request><DeviceType>UCPhone</DeviceType><MacAddress>0021630F207B</MacAddress><Vendor>Polycom</Vendor>\
             <Model>CX{model}</Model><Revision>A</Revision><Locale>ENU</Locale><Module><FileName>cpe.nbt</FileName>\
             <Version>1.0.0.0</Version></Module></Request>"
        );
        let answer = node.phone().post("/RequestHandler/ucdevice.upx", &request).await.unwrap();
        let offered = (0..imports).find(|import| answer.text().contains(&folder(*import, model)));
        let Some(import) = offered else { continue };
        assert!(std::fs::read(held(&node.program, &bytes(import, model))).unwrap() == bytes(import, model));
        let file = format!("/DeviceUpdateFiles_Int/{}/CPE.nbt", folder(import, model));
        let file = node.phone().get(&file).await.unwrap();
        assert!(file.status == 200 && file.body == bytes(import, model), "{}", file.status);
    }
}

#[tokio::test]
async fn a_node_that_is_killed_while_it_replicates_shows_no_torn_file_and_goes_on() {
    let kills = std::env::var("UCUPDATES_TEST_KILLS").map_or(KILLS, |kills| kills.parse().unwrap());
    let pool = TestPool::new().await;
    let [first] = pool.nodes().await;
    // Slow enough that kills meet transfers.
    let victim = pool.program("node2", |config| set(config, "replica.most_bytes_per_s", 6_000_000));
    let mut imports = 0;
    for kill in 0..kills {
        if kill % KILLS_AN_IMPORT == 0 {
            import(&pool, &first, imports).await;
            imports += 1;
        }
        let mut process = victim.spawn();
        let moment = Duration::from_millis(250 + (kill as u64 * 397) % 1500);
        tokio::time::sleep(moment).await;
        tests::program::kill_now(&process);
        process.end().await;
        replica_is_whole(&victim);
        if kill % KILLS_AN_IMPORT == KILLS_AN_IMPORT - 1 {
            let node = victim.start().await;
            offers_are_kept(&node, imports).await;
            tests::program::kill_now(&node.process);
            let mut process = node.process;
            process.end().await;
        }
    }
    let node = victim.start().await;
    let newest = imports - 1;
    let all = async || (0..SIZES.len()).all(|model| held(&node.program, &bytes(newest, model)).exists());
    wait_until("it has come to the end", all).await;
    offers_are_kept(&node, imports).await;
    replica_is_whole(&victim);
    wait_until("nothing half-fetched is left", async || {
        std::fs::read_dir(victim.path("data/replica/.incoming")).unwrap().next().is_none()
    })
    .await;
}
