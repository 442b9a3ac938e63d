//! The platform's own addresses: nobody plays at them, whatever the policy opens.

use crate::browser::Site;
use flowtest_accounts::Actor;
use flowtest_contract::utc_us;
use flowtest_testkit::wait::wait_until_async;

#[tokio::test(flavor = "multi_thread")]
async fn a_contestant_whose_network_is_closed_is_told_whom_to_ask() {
    let site = Site::open().await;
    let alice = site.contestant("alice").await;
    let (id, mut ada) = (alice.id, site.admin("ada").await);
    let mut alice = site.sign_in(alice).await;
    for endpoint in ["10.1.2.3:8080", "[64:ff9b::10.1.2.3]:8080"] {
        let answer = alice.post("/index/endpoint", &[("endpoint", endpoint)]).await;
        answer.says("or ask the organisers to allow its network");
        assert!(!answer.body.contains("[policy]"), "{endpoint}");
    }
    // An organiser reads what to do.
    let answer = ada.post(&format!("/setting/contestant/{id}/endpoint"), &[("endpoint", "10.1.2.3:8080")]).await;
    answer.says("add its network to allow in [policy]");
}

#[tokio::test(flavor = "multi_thread")]
async fn nobody_plays_with_the_platforms_own_servers() {
    let site = Site::open().await;
    let controller = &site.app.controller;
    let mut settings = controller.settings().as_ref().clone();
    settings.policy.allow = vec!["192.0.2.0/24".parse().expect("a network")];
    let program = Actor::program();
    controller.save_settings(None, settings, &program, utc_us()).await.expect("settings");
    let (alice, bob) = (site.contestant("alice").await, site.contestant("bob").await);
    controller.set_endpoint(&bob, "192.0.2.1:8001", &program, utc_us()).await.expect("another port");
    // The site says that it listens at this address.
    let denied = wait_until_async("the document", || {
        let control = controller.control()?;
        control.contest.policy.deny.first().map(ToString::to_string)
    });
    assert_eq!(denied.await, "192.0.2.1:8000");
    let refused = controller.set_endpoint(&alice, "192.0.2.1:8000", &program, utc_us()).await;
    let told = refused.expect_err("it is the dashboard's own").to_string();
    assert!(told.contains("192.0.2.1 is closed by 192.0.2.1:8000"), "{told}");
    // It stands in no form, and is no change of anybody's.
    assert!(controller.settings().policy.deny.is_empty());
    // Where it listens no more, others may.
    site.app.listens_at("192.0.2.9:8000".parse().expect("an address"));
    wait_until_async("the new address", || {
        let control = controller.control()?;
        let deny: Vec<String> = control.contest.policy.deny.iter().map(ToString::to_string).collect();
        (deny == ["192.0.2.9:8000"]).then_some(())
    })
    .await;
}
