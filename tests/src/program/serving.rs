//! A process that serves: what phones, administrators and Prometheus ask of it.

use super::{PATIENCE, Process, Program};
use crate::binary::{self, Said};
use crate::node::TOKEN;
use crate::phone::{Answer, Phone};
use node::api::types::packages::ReportCard;
use node::api::types::rules::RuleReport;
use serde::de::DeserializeOwned;
use std::net::{IpAddr, SocketAddr};
use tokio::process::Command;

/// A process that serves.
pub struct Serving {
    /// What outlives it.
    pub program: Program,
    /// The process.
    pub process: Process,
    /// Where phones ask.
    pub phones: SocketAddr,
    /// Where administrators ask.
    pub management: SocketAddr,
    client: reqwest::Client,
}

/// A refusal of the API.
#[derive(Debug)]
pub struct Refused {
    /// 507, ...; 0 when there was no answer at all.
    pub status: u16,
    /// The body, or why there was none.
    pub text: String,
}

impl Serving {
    pub(super) fn new(program: &Program, process: Process, phones: SocketAddr, management: SocketAddr) -> Self {
        let pem = std::fs::read(process.inside(&program.path("data/tls/ca.pem"))).unwrap();
        let authority = reqwest::Certificate::from_pem_bundle(&pem).unwrap();
        let client = reqwest::Client::builder().no_proxy().timeout(PATIENCE).tls_certs_only(authority);
        Self { program: program.clone(), process, phones, management, client: client.build().unwrap() }
    }

    /// Kills it, and starts it again.
    pub async fn restart(&mut self) {
        super::kill_now(&self.process);
        self.process.end().await;
        *self = self.program.start().await;
    }

    /// Asks the administrators' API.
    pub async fn api(&self, method: &str, route: &str, body: &[u8]) -> Answer {
        let url = self.url(&format!("/api/v1{route}"));
        let request = self.client.request(method.parse().unwrap(), url).bearer_auth(TOKEN);
        let answer = request.header("Content-Type", "application/json").body(body.to_vec()).send().await.unwrap();
        let (status, headers) = (answer.status().as_u16(), answer.headers().clone());
        let headers = headers.iter().map(|(name, value)| (name.to_string(), value.to_str().unwrap().to_owned()));
        Answer { status, headers: headers.collect(), body: answer.bytes().await.unwrap().into() }
    }

    /// What Prometheus scrapes.
    pub async fn metrics(&self) -> String {
        self.client.get(self.url("/metrics")).send().await.unwrap().text().await.unwrap()
    }

    /// A phone inside.
    pub fn phone(&self) -> Phone {
        Phone::new(self.phones)
    }

    /// A phone inside that comes by way of a balancer, which this node listens to.
    pub fn phone_by_balancer(&self) -> Phone {
        self.phone().behind_balancer(IpAddr::from([10, 1, 1, 123]))
    }

    /// Runs the command line against it.
    pub async fn cli(&self, arguments: &[&str]) -> Said {
        let mut command = Command::new(binary::path());
        command.args(arguments).env_clear().env("UCUPDATES_SERVER", self.url("")).env("UCUPDATES_TOKEN", TOKEN);
        command.env("UCUPDATES_CA_FILE", self.program.path("data/tls/ca.pem"));
        command.output().await.unwrap().into()
    }

    /// Imports a package into all pools.
    pub async fn import(&self, name: &str, body: impl Into<reqwest::Body>) -> Result<ReportCard, Refused> {
        self.answer(self.client.post(self.url("/api/v1/packages")).query(&[("name", name)]).body(body)).await
    }

    /// Approves what is pending of this model.
    pub async fn approve(&self, model: &str) -> Result<RuleReport, Refused> {
        let body = serde_json::json!({ "filter": { "model": model } });
        self.answer(self.client.post(self.url("/api/v1/rules/approve")).json(&body)).await
    }

    /// `/ready`: its status and its text.
    pub async fn ready(&self) -> (u16, String) {
        let answer = self.client.get(self.url("/ready")).send().await.unwrap();
        (answer.status().as_u16(), answer.text().await.unwrap())
    }

    /// Whether it serves from present rules and has nothing to complain of.
    pub async fn is_well(&self) -> bool {
        let (status, text) = self.ready().await;
        let lines: Vec<_> = text.lines().collect();
        let present = |line: &str| line.contains("confirmed by the Central Management store");
        status == 200 && matches!(lines[..], ["ready", rules] if present(rules))
    }

    fn url(&self, path: &str) -> String {
        format!("https://{}{path}", self.management)
    }

    async fn answer<T: DeserializeOwned>(&self, request: reqwest::RequestBuilder) -> Result<T, Refused> {
        let lost = |error: reqwest::Error| Refused { status: 0, text: format!("{error:?}") };
        let answer = request.bearer_auth(TOKEN).send().await.map_err(lost)?;
        let status = answer.status();
        let text = answer.text().await.map_err(lost)?;
        match status.is_success() {
            true => Ok(serde_json::from_str(&text).unwrap()),
            false => Err(Refused { status: status.as_u16(), text }),
        }
    }
}
