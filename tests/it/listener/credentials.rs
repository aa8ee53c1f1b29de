//! Phones outside need credentials for everything (PROTOCOL.md 4).

use super::harness::{ACCOUNT, FILE, HANDLER, Running, Start};
use base64::Engine;
use node::phone_auth::PhoneAuthLimits;
use node::plane::Side;
use tests::phone::Answer;

fn outside(auth: PhoneAuthLimits) -> Running {
    Start { side: Side::Outside, auth, ..Start::default() }.tls().run()
}

fn basic(name: &str, password: &str) -> String {
    format!("Basic {}", base64::engine::general_purpose::STANDARD.encode(format!("{name}:{password}")))
}

async fn ask(running: &Running, method: &str, path: &str, credentials: Option<(&str, &str)>) -> Answer {
    let authorization = credentials.map(|(name, password)| basic(name, password));
    let headers: Vec<(&str, &str)> = authorization.iter().map(|value| ("Authorization", value.as_str())).collect();
    running.tls_phone().ask(method, path, &headers, b"").await.unwrap()
}

#[tokio::test]
async fn who_has_no_or_wrong_credentials_gets_the_same_challenge() {
    let running = outside(PhoneAuthLimits::default());
    for (method, path) in [("POST", HANDLER), ("POST", "/RequestHandlerExt/ucdevice.upx"), ("GET", FILE)] {
        let mut bodies = Vec::new();
        for credentials in [None, Some((ACCOUNT.0, "wrong horse")), Some(("nobody", ACCOUNT.1))] {
            let answer = ask(&running, method, path, credentials).await;
            assert_eq!(answer.status, 401, "{method} {path}");
            assert_eq!(answer.header("www-authenticate"), "Basic realm=\"ucupdates\", charset=\"UTF-8\"");
            assert!(answer.header("content-type").starts_with("text/xml"));
            bodies.push(answer.text().to_owned());
        }
        assert!(bodies[0].to_lowercase().contains("anonymous access is not supported"), "{}", bodies[0]);
        assert!(bodies.iter().all(|body| *body == bodies[0]));
    }
}

#[tokio::test]
async fn who_has_the_right_credentials_is_served() {
    let running = outside(PhoneAuthLimits::default());
    let user = format!("{}:{}", ACCOUNT.0, ACCOUNT.1);
    let bytes = running.curl("https", FILE, &["--fail", "-u", &user]).await;
    assert!(bytes == running.content);
    let answered = ask(&running, "POST", HANDLER, Some(ACCOUNT)).await;
    assert_ne!(answered.status, 401);
}

#[tokio::test]
async fn an_address_that_guesses_is_refused_even_with_the_right_password() {
    let running = outside(PhoneAuthLimits { failures_a_minute: 3, ..PhoneAuthLimits::default() });
    for _ in 0..3 {
        assert_eq!(ask(&running, "GET", FILE, Some((ACCOUNT.0, "guess"))).await.status, 401);
    }
    assert_eq!(ask(&running, "GET", FILE, Some(ACCOUNT)).await.status, 401);
}

#[tokio::test]
async fn without_a_free_slot_a_check_is_told_no_update_and_a_file_comes_later() {
    let running = outside(PhoneAuthLimits { slots: 0, queue: 0, ..PhoneAuthLimits::default() });
    let check = ask(&running, "POST", HANDLER, Some(ACCOUNT)).await;
    assert_eq!(check.status, 200);
    assert!(check.text().contains("<NumOfFiles>0</NumOfFiles>"), "{}", check.text());
    let file = ask(&running, "GET", FILE, Some(ACCOUNT)).await;
    assert_eq!((file.status, file.header("retry-after")), (503, "30"));
    assert!(file.text().starts_with("<?xml"));
}
