//! Many phones that ask and download all the time, each comparing every answer with the one that it must get.

use std::sync::{Arc, Mutex};
use std::time::Duration;
use tests::database::wait_until;
use tests::gcab::image;
use tests::phone::Phone;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

/// How many there are.
const PHONES: usize = 50;

/// Between two rounds of a phone: a debug build on a small machine must keep up with all of them.
const PAUSE: Duration = Duration::from_millis(200);

/// The models of the phones. Of the last one no phone of the crowd is: its rule changes.
pub const MODELS: [&str; 4] = ["CX500", "CX600", "CX700", "CX3000"];

/// What is installed before anything was downloaded.
pub const OLDER: &str = "4.0.7577.4066";

/// The version that every model is approved for.
pub const OLD: &str = "4.0.7577.4387";

/// The one that the last model is given later.
pub const NEW: &str = "4.0.7577.4444";

/// What the phones of a model fetch.
pub fn image_of(model: &str, version: &str) -> Vec<u8> {
    let seed = model
        .bytes()
        .chain(version.bytes())
        .fold(7_u64, |seed, byte| seed.wrapping_mul(31).wrapping_add(u64::from(byte)));
    image(seed, 20_000)
}

/// The folder of a model's update.
pub fn folder_of(model: &str, version: &str) -> String {
    format!("UCPhone/Polycom/{model}/A/ENU/{version}/CPE")
}

/// Asks with this version installed, and downloads what is offered: the version that was got, none when nothing is offered.
pub async fn round(phone: &Phone, model: &str, installed: &str) -> anyhow::Result<Option<String>> {
    let request = format!(
        "<Request><DeviceType>UCPhone</DeviceType><MacAddress>0021630F207B</MacAddress><Vendor>Polycom</Vendor>\
         <Model>{model}</Model><Revision>A</Revision><Locale>ENU</Locale><Module><FileName>cpe.nbt</FileName>\
         <Version>{installed}</Version></Module></Request>"
    );
    let answer = phone.post("/RequestHandler/ucdevice.upx", &request).await?;
    anyhow::ensure!(answer.status == 200, "{} to a check", answer.status);
    let text = answer.text();
    if text.contains("<NumOfFiles>0</NumOfFiles>") {
        return Ok(None);
    }
    let version = [OLD, NEW].into_iter().find(|version| text.contains(&format!("<Version>{version}</Version>")));
    let Some(version) = version else { anyhow::bail!("no known version in {text}") };
    let file = phone.get(&format!("/DeviceUpdateFiles_Int/{}/cpe.nbt", folder_of(model, version))).await?;
    anyhow::ensure!(file.status == 200, "{} to a download", file.status);
    anyhow::ensure!(file.body == image_of(model, version), "other bytes of {model} {version}");
    Ok(Some(version.to_owned()))
}

/// Phones that ask until they are told to stop.
pub struct Crowd {
    stop: CancellationToken,
    phones: JoinSet<()>,
    rounds: Arc<[Mutex<usize>]>,
    wrong: Arc<Mutex<Vec<String>>>,
}

impl Crowd {
    /// Half of them have an older version, half have what they shall have.
    pub fn start(phone: &Phone) -> Self {
        let rounds: Arc<[Mutex<usize>]> = (0..PHONES).map(|_| Mutex::new(0)).collect();
        let (stop, mut phones) = (CancellationToken::new(), JoinSet::new());
        let wrong: Arc<Mutex<Vec<String>>> = Arc::default();
        for index in 0..PHONES {
            let (phone, stop, rounds, wrong) = (phone.clone(), stop.clone(), Arc::clone(&rounds), Arc::clone(&wrong));
            let model = MODELS[index % 3];
            let (installed, expected) = if index % 2 == 0 { (OLDER, Some(OLD)) } else { (OLD, None) };
            phones.spawn(async move {
                while !stop.is_cancelled() {
                    match round(&phone, model, installed).await {
                        Ok(got) if got.as_deref() == expected => {}
                        Ok(got) => wrong.lock().unwrap().push(format!("{model} with {installed} got {got:?}")),
                        Err(error) => wrong.lock().unwrap().push(format!("{model} with {installed}: {error:#}")),
                    }
                    *rounds[index].lock().unwrap() += 1;
                    stop.run_until_cancelled(tokio::time::sleep(PAUSE)).await;
                }
            });
        }
        Self { stop, phones, rounds, wrong }
    }

    /// Waits until each phone has asked so many times more.
    pub async fn rounds(&self, more: usize) {
        let before: Vec<usize> = self.rounds.iter().map(|rounds| *rounds.lock().unwrap()).collect();
        let done = || self.rounds.iter().zip(&before).all(|(rounds, before)| *rounds.lock().unwrap() >= before + more);
        wait_until("every phone has asked again", async || done()).await;
    }

    /// Stops them: how many rounds there were, and what was failed or wrong.
    pub async fn stop(mut self) -> (usize, Vec<String>) {
        self.stop.cancel();
        while let Some(ended) = self.phones.join_next().await {
            ended.unwrap();
        }
        let rounds = self.rounds.iter().map(|rounds| *rounds.lock().unwrap()).sum();
        (rounds, std::mem::take(&mut *self.wrong.lock().unwrap()))
    }
}
