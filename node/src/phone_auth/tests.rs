//! The check as a whole, with real hashes.

use super::*;
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use schema::rule_set::{RuleSetParts, StoreMark};
use schema::settings::DeviceUpdateConfiguration;
use schema::topology::{Pool, PoolFqdn, PoolUrls, ServiceId, SiteName};

fn rules(accounts: &[(&str, &str)]) -> RuleSet {
    let hashed = accounts.iter().map(|(name, password)| ((*name).to_owned(), hash_password(password).unwrap()));
    RuleSet::new(RuleSetParts {
        mark: StoreMark { generation: 1, ..StoreMark::NOTHING },
        pool: Pool {
            fqdn: PoolFqdn::parse("pool01.contoso.com").unwrap(),
            site: SiteName::parse("Redmond").unwrap(),
            service_id: ServiceId::parse("1-WebServices-1").unwrap(),
            urls: PoolUrls::default(),
        },
        rules: vec![],
        updates: vec![],
        stepping_stones: vec![],
        test_devices: vec![],
        configuration: DeviceUpdateConfiguration::default(),
        accounts: hashed.collect(),
    })
    .unwrap()
}

fn basic(name: &str, password: &str) -> HeaderValue {
    HeaderValue::from_str(&format!("Basic {}", STANDARD.encode(format!("{name}:{password}")))).unwrap()
}

const ADDRESS: IpAddr = IpAddr::V4(std::net::Ipv4Addr::new(10, 1, 1, 123));

#[tokio::test]
async fn an_account_is_known_by_its_name_in_any_case_and_its_password() {
    let (auth, rules) = (PhoneAuth::default(), rules(&[("phones@contoso.com", "correct horse")]));
    let check = async |header: Option<HeaderValue>| auth.check(&rules, header.as_ref(), ADDRESS).await;
    let account = Verdict::Account("phones@contoso.com".to_owned());
    assert_eq!(check(Some(basic("Phones@Contoso.com", "correct horse"))).await, account);
    assert_eq!(check(Some(basic("phones@contoso.com", "wrong"))).await, Verdict::Refused);
    assert_eq!(check(Some(basic("nobody", "correct horse"))).await, Verdict::Refused);
    assert_eq!(check(None).await, Verdict::Anonymous);
    assert_eq!(check(Some(HeaderValue::from_static("NTLM TlRM"))).await, Verdict::Anonymous);
}

#[tokio::test]
async fn a_success_is_remembered_until_the_account_changes() {
    let limits = PhoneAuthLimits { slots: 0, queue: 0, ..PhoneAuthLimits::default() };
    let (auth, rules) = (PhoneAuth::new(limits), rules(&[("a", "correct horse"), ("b", "correct horse")]));
    let right = basic("a", "correct horse");
    assert_eq!(auth.check(&rules, Some(&right), ADDRESS).await, Verdict::Overload, "there is no slot");
    auth.slots.add_permits(1);
    auth.admitted.add_permits(1);
    assert_eq!(auth.check(&rules, Some(&right), ADDRESS).await, Verdict::Account("a".to_owned()));
    auth.slots.close();
    assert_eq!(auth.check(&rules, Some(&right), ADDRESS).await, Verdict::Account("a".to_owned()), "without a hash");
    assert_eq!(auth.check(&rules, Some(&basic("b", "correct horse")), ADDRESS).await, Verdict::Overload);
    let changed = self::rules(&[("a", "correct horse")]);
    assert_eq!(auth.check(&changed, Some(&right), ADDRESS).await, Verdict::Overload, "must be hashed again");
}

#[tokio::test]
async fn an_address_that_fails_too_often_is_refused_even_with_the_right_password() {
    let limits = PhoneAuthLimits { failures_a_minute: 2, ..PhoneAuthLimits::default() };
    let (auth, rules) = (PhoneAuth::new(limits), rules(&[("a", "correct horse")]));
    for _ in 0..2 {
        assert_eq!(auth.check(&rules, Some(&basic("a", "wrong")), ADDRESS).await, Verdict::Refused);
    }
    let right = basic("a", "correct horse");
    assert_eq!(auth.check(&rules, Some(&right), ADDRESS).await, Verdict::Throttled);
    let elsewhere = "10.1.1.124".parse().unwrap();
    assert_eq!(auth.check(&rules, Some(&right), elsewhere).await, Verdict::Account("a".to_owned()));
    assert_eq!(auth.check(&rules, Some(&right), ADDRESS).await, Verdict::Account("a".to_owned()), "remembered");
}

#[tokio::test]
async fn right_passwords_do_not_count_as_failures() {
    let limits = PhoneAuthLimits { failures_a_minute: 1, ..PhoneAuthLimits::default() };
    let (auth, rules) = (PhoneAuth::new(limits), rules(&[("a", "correct horse"), ("b", "correct horse")]));
    for name in ["a", "b"] {
        let right = basic(name, "correct horse");
        assert_eq!(auth.check(&rules, Some(&right), ADDRESS).await, Verdict::Account(name.to_owned()));
    }
}

#[tokio::test]
async fn an_address_has_no_more_attempts_when_it_asks_many_times_at_once() {
    let limits = PhoneAuthLimits { slots: 1, failures_a_minute: 1, ..PhoneAuthLimits::default() };
    let (auth, rules) = (PhoneAuth::new(limits), rules(&[("a", "correct horse")]));
    let (wrong, right) = (basic("a", "wrong"), basic("a", "correct horse"));
    let busy = auth.slots.clone().acquire_owned().await.unwrap();
    // Both wait for the slot before either has failed.
    let first = auth.check(&rules, Some(&wrong), ADDRESS);
    let second = auth.check(&rules, Some(&right), ADDRESS);
    let (first, second, ()) = tokio::join!(first, second, async { drop(busy) });
    assert_eq!((first, second), (Verdict::Refused, Verdict::Throttled));
}

#[tokio::test]
async fn a_full_queue_is_overload_at_once_and_a_busy_slot_after_a_while() {
    let limits =
        PhoneAuthLimits { slots: 1, queue: 1, queue_timeout: Duration::from_millis(20), ..PhoneAuthLimits::default() };
    let (auth, rules) = (PhoneAuth::new(limits), rules(&[("a", "correct horse")]));
    let right = basic("a", "correct horse");
    let _busy = auth.slots.clone().acquire_owned().await.unwrap();
    assert_eq!(auth.slots(), (1, 1, 0));
    assert_eq!(auth.check(&rules, Some(&right), ADDRESS).await, Verdict::Overload, "waited in vain");
    let _full = auth.admitted.clone().acquire_many_owned(2).await.unwrap();
    assert_eq!(auth.check(&rules, Some(&right), ADDRESS).await, Verdict::Overload, "did not wait");
}
