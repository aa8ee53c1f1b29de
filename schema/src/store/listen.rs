//! Waking up when another node, or an administrator, announces a change. Hints only: what is announced while the
//! connection is down is lost, so that whoever listens also asks from time to time.

use super::{CHANNEL, Database, StoreError, within};
use futures_util::{StreamExt, pin_mut, stream};
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::sync::watch;
use tokio_postgres::{AsyncMessage, Client, Connection, NoTls};
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

impl Database {
    /// Listens for announcements until `cancel`: each marks `wake` as changed, and so does each new connection,
    /// because what is announced meanwhile is lost. Hints only, never the truth. Run it as a task of its own;
    /// cancelling, or dropping it, interrupts nothing that matters.
    pub async fn listen(&self, wake: watch::Sender<()>, cancel: CancellationToken) {
        let mut failures = 0;
        while !cancel.is_cancelled() {
            let listening = cancel.run_until_cancelled(Box::pin(self.listen_once(&wake, &mut failures)));
            let Some(Err(error)) = listening.await else { return };
            failures += 1;
            let pause = pause(failures, self.settings.listen_pause);
            tracing::warn!(%error, pause_ms = pause.as_millis(), "not listening for changes; trying again");
            if cancel.run_until_cancelled(tokio::time::sleep(pause)).await.is_none() {
                return;
            }
        }
    }

    /// Listens on one connection until it breaks.
    async fn listen_once(&self, wake: &watch::Sender<()>, failures: &mut u32) -> Result<(), StoreError> {
        let (limit, config) = (self.settings.connect_timeout, &self.connector.config);
        match self.connector.tls.clone() {
            Some(tls) => {
                let (client, connection) =
                    within(limit, "connecting", async { Ok(config.connect(tls).await?) }).await?;
                self.serve(client, connection, wake, failures).await
            }
            None => {
                let (client, connection) =
                    within(limit, "connecting", async { Ok(config.connect(NoTls).await?) }).await?;
                self.serve(client, connection, wake, failures).await
            }
        }
    }

    async fn serve<S, T>(
        &self,
        client: Client,
        mut connection: Connection<S, T>,
        wake: &watch::Sender<()>,
        failures: &mut u32,
    ) -> Result<(), StoreError>
    where
        S: AsyncRead + AsyncWrite + Unpin,
        T: AsyncRead + AsyncWrite + Unpin,
    {
        let messages = stream::poll_fn(move |context| connection.poll_message(context));
        let announcements = async {
            pin_mut!(messages);
            while let Some(message) = messages.next().await {
                if matches!(message?, AsyncMessage::Notification(_)) {
                    wake.send_replace(());
                }
            }
            Err(StoreError::Unavailable { reason: "the listening connection ended".to_owned(), source: None })
        };
        let listen = format!("listen {CHANNEL}");
        let questions = async {
            self.within("listen", async { Ok(client.batch_execute(&listen).await?) }).await?;
            *failures = 0;
            wake.send_replace(());
            // A hung server keeps its connections open: only a question shows it.
            loop {
                tokio::time::sleep(self.settings.listen_check_interval).await;
                self.within("listening connection", async { Ok(client.batch_execute("").await?) }).await?;
            }
        };
        tokio::select! {
            ended = announcements => ended,
            failed = questions => failed,
        }
    }
}

/// Doubles with each failure, up to a limit; half of it is left to chance, so that nodes do not come back as one.
fn pause(failures: u32, limit: Duration) -> Duration {
    let longest = Duration::from_millis(200).saturating_mul(1 << failures.min(10)).min(limit);
    let (_, chance, _, _) = Uuid::new_v4().as_fields();
    longest / 2 + longest.mul_f64(f64::from(chance) / f64::from(u16::MAX) / 2.0)
}
