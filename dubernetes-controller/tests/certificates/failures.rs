//! Authorities that refuse, do not answer, hang or panic.

use dubernetes_controller::WaitError;
use dubernetes_core::certificate::Authority;
use dubernetes_testkit::build::worker;
use dubernetes_testkit::{Fault, IssuerOperation, Trouble};

use super::*;

const FAULTS: [Fault; 3] = [Fault::Error, Fault::Panic, Fault::Hang];

#[tokio::test(start_paused = true)]
async fn host_that_cannot_be_verified_fails_the_app_until_it_can() {
    let on = start();
    let trouble = Trouble::NotVerified("no A record for a.test".to_owned());
    on.issuer.set_trouble_of(&host("a.test"), Some(trouble));
    let spec = web(&["a.test", "b.test"], AUTO);
    on.apply(&spec).await.unwrap();
    match on.handle.until_ready(&spec.name, MINUTE).await {
        Err(WaitError::Failed { reason, .. }) => {
            assert!(reason.contains("no A record for a.test"), "{reason}");
        }
        other => panic!("the app fails at once; seen: {other:?}"),
    }
    tokio::time::sleep(MINUTE).await;
    assert!(served(&on, "b.test").is_some(), "the other host is served");
    let certificates = on.handle.certificates();
    let [failed, _] = &certificates[..] else { panic!("{certificates:?}") };
    assert!(failed.problem.as_ref().unwrap().contains("no A record"), "{failed:?}");
    assert!(failed.next_try.unwrap() > on.clock.now() && !failed.is_served, "{failed:?}");
    on.issuer.set_trouble_of(&host("a.test"), None);
    until_ready_within(&on, 5 * MINUTE).await;
    assert_eq!((on.issuer.registrations(), on.issuer.orders().len()), (1, 3));
}

#[tokio::test(start_paused = true)]
async fn renewal_on_request_waits_for_no_back_off() {
    let on = start();
    let trouble = Trouble::NotVerified("no A record for a.test".to_owned());
    on.issuer.set_trouble_of(&host("a.test"), Some(trouble));
    on.apply(&idle(&["a.test"], AUTO)).await.unwrap();
    let second = Duration::from_secs(1);
    // The ingress has to know the host before.
    tokio::time::sleep(2 * second).await;
    for orders in 1..=8 {
        tokio::time::sleep(second).await;
        assert_eq!(on.issuer.orders().len(), orders);
        assert!(on.handle.renew_certificate(&host("a.test")).await.unwrap());
    }
    on.issuer.set_trouble_of(&host("a.test"), None);
    tokio::time::sleep(second).await;
    assert!(on.handle.renew_certificate(&host("a.test")).await.unwrap());
    tokio::time::sleep(second).await;
    assert!(served(&on, "a.test").is_some());
    assert!(!on.handle.renew_certificate(&host("b.test")).await.unwrap());
}

#[tokio::test(start_paused = true)]
async fn authority_that_is_away_for_a_day_costs_few_orders_and_no_certificate() {
    let on = start();
    on.issuer.set_lifetime(SignedDuration::from_hours(9 * 24));
    on.apply(&idle(&["a.test"], AUTO)).await.unwrap();
    on.until_ready("web").await;
    let first = served(&on, "a.test").unwrap();
    on.issuer.set_trouble(Some(Trouble::Away));
    tokio::time::sleep(6 * 24 * HOUR).await;
    for _ in 0..24 {
        tokio::time::sleep(HOUR).await;
        assert_eq!(served(&on, "a.test"), Some(first.clone()), "the old one stays");
    }
    let orders = on.issuer.orders().len();
    assert!((20..=40).contains(&orders), "{orders} orders");
    let failed = events(&on, "CertificateFailed").await;
    let count: u64 = failed.iter().map(|event| event.count).sum();
    assert_eq!(count, u64::try_from(orders).unwrap() - 1, "each is recorded");
    assert!(failed.len() < orders - 1, "equal ones are merged: {} events", failed.len());
    on.issuer.set_trouble(None);
    tokio::time::sleep(HOUR).await;
    let second = served(&on, "a.test").unwrap();
    assert_ne!(second, first, "renewed within an hour");
    assert_eq!(stored(&on, "a.test").await.unwrap().pair, second);
    assert_eq!(on.issuer.registrations(), 1);
}

#[tokio::test(start_paused = true)]
async fn limited_rate_is_waited_for_as_long_as_the_authority_says() {
    let on = start();
    let until = on.clock.now().saturating_add(SignedDuration::from_hours(7)).unwrap();
    on.issuer.set_trouble_of(&host("a.test"), Some(Trouble::RateLimited(until)));
    on.apply(&idle(&["a.test"], AUTO)).await.unwrap();
    tokio::time::sleep(7 * HOUR - MINUTE).await;
    assert_eq!(on.issuer.orders().len(), 1);
    on.issuer.set_trouble_of(&host("a.test"), None);
    until_ready_within(&on, 2 * MINUTE).await;
    assert_eq!(on.issuer.orders().len(), 2);
}

#[tokio::test(start_paused = true)]
async fn issuer_that_fails_panics_or_hangs_delays_its_own_host_alone() {
    for operation in IssuerOperation::ALL {
        for fault in FAULTS {
            let on = start();
            on.issuer.faults().inject(operation, fault, 1);
            on.apply(&web(&["a.test"], INTERNAL)).await.unwrap();
            tokio::time::sleep(Duration::from_secs(5)).await;
            on.apply(&worker("jobs", "web:1", 1)).await.unwrap();
            on.until_ready("jobs").await;
            // A call that hangs ends after 5 min.
            until_ready_within(&on, 6 * MINUTE).await;
            assert!(served(&on, "a.test").is_some(), "{operation:?} {fault:?}");
            assert_eq!(on.issuer.registrations(), 1, "{operation:?} {fault:?}");
        }
    }
}

#[tokio::test(start_paused = true)]
async fn renewal_that_hangs_or_panics_keeps_the_old_certificate() {
    for fault in FAULTS {
        let on = start();
        on.issuer.set_lifetime(SignedDuration::from_hours(3));
        on.apply(&idle(&["a.test"], AUTO)).await.unwrap();
        on.until_ready("web").await;
        let first = served(&on, "a.test");
        on.issuer.faults().inject(IssuerOperation::Issue, fault, 1);
        tokio::time::sleep(2 * HOUR + Duration::from_secs(1)).await;
        assert_eq!(served(&on, "a.test"), first, "{fault:?}");
        tokio::time::sleep(10 * MINUTE).await;
        let second = served(&on, "a.test");
        assert!(second.is_some() && second != first, "{fault:?}");
    }
}

/// The account that a store has lost was used by no order.
#[tokio::test(start_paused = true)]
async fn account_is_stored_before_its_first_order() {
    use dubernetes_testkit::StoreOperation;
    let on = start();
    let faults = on.store.faults();
    faults.inject(StoreOperation::SetAuthorityAccount, Fault::Error, 1);
    on.apply(&idle(&["a.test"], AUTO)).await.unwrap();
    until_ready_within(&on, 10 * MINUTE).await;
    let kept = on.store.authority_account(Authority::Acme).await.unwrap().unwrap();
    let orders = on.issuer.orders();
    assert_eq!(orders.len(), 1);
    assert_eq!(orders[0].account.as_bytes(), kept.reveal());
}

#[tokio::test(start_paused = true)]
async fn orders_that_hang_do_not_hold_up_other_apps() {
    let on = start();
    let hosts: Vec<_> = (0..20).map(|number| format!("h{number}.test")).collect();
    let hosts: Vec<_> = hosts.iter().map(String::as_str).collect();
    on.issuer.faults().inject(IssuerOperation::Issue, Fault::Hang, 20);
    on.apply(&idle(&hosts, AUTO)).await.unwrap();
    tokio::time::sleep(Duration::from_secs(5)).await;
    assert!(!on.issuer.orders().is_empty());
    on.apply(&worker("jobs", "web:1", 1)).await.unwrap();
    let begin = tokio::time::Instant::now();
    on.until_ready("jobs").await;
    assert!(begin.elapsed() < Duration::from_secs(10), "{:?}", begin.elapsed());
}
