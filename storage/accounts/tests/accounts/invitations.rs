//! Invitations: each is good for one account, whatever happens at once.

use crate::harness::*;
use flowtest_accounts::*;

#[tokio::test]
async fn a_batch_has_numbers_from_1_and_tokens_nobody_has_twice() {
    let harness = Harness::new().await;
    let new = NewInvites { count: 50, label: " Blue team ".into(), role: Role::Staff, expires_at: NOON + HOUR };
    let made = harness.accounts.create_invites(new.clone(), &harness.by(), NOON).await.expect("a batch");
    assert_eq!(made.iter().map(|invite| invite.id.0).collect::<Vec<_>>(), (1..=50).collect::<Vec<_>>());
    let mut tokens: Vec<_> = made.iter().filter_map(|invite| invite.token.as_ref()).map(Secret::reveal).collect();
    tokens.sort_unstable();
    tokens.dedup();
    assert_eq!(tokens.len(), 50);
    assert_eq!((made[0].label.as_str(), made[0].created_by.as_str()), ("Blue team", "boss"));
    assert_eq!(harness.accounts.invites(NOON).await.expect("a list"), made);
    assert!(!format!("{made:?}").contains(tokens[0]), "Debug hides tokens");
    for bad in [
        NewInvites { count: 0, ..new.clone() },
        NewInvites { count: BATCH_MAX + 1, ..new.clone() },
        NewInvites { expires_at: NOON, ..new.clone() },
        NewInvites { label: "x".repeat(81), ..new },
    ] {
        let refused = harness.accounts.create_invites(bad, &harness.by(), NOON).await;
        assert!(matches!(refused, Err(Error::Invalid { .. })), "{refused:?}");
    }
}

#[tokio::test]
async fn a_token_is_redeemed_as_somebody_types_it_and_then_forgotten() {
    let harness = Harness::new().await;
    let token = harness.token().await;
    let typed = token.to_lowercase().replace('-', " ").replace('0', "o").replace('1', "l");
    let good = harness.accounts.check_invite(&typed, NOON).await.expect("a good token");
    assert_eq!((good.id.0, good.role, good.label.as_str()), (1, Role::Staff, "row 1"));
    let alice = harness.accounts.redeem(&typed, new_user("alice"), &Actor::nobody("192.0.2.9"), NOON + 1).await;
    let alice = alice.expect("redeemed");
    assert_eq!((alice.role, alice.display_name.as_str(), alice.created_at), (Role::Staff, "Team alice", NOON + 1));
    let listed = &harness.accounts.invites(NOON).await.expect("a list")[0];
    assert_eq!((listed.status, &listed.token), (InviteStatus::Used, &None));
    let used = InviteUse { user: alice.id, name: "alice".into(), at: NOON + 1 };
    assert_eq!(listed.used, Some(used));
    let again = harness.accounts.redeem(&token, new_user("mallory"), &Actor::nobody("192.0.2.9"), NOON).await;
    assert!(matches!(again, Err(RedeemError::Used)), "{again:?}");
}

#[tokio::test]
async fn each_reason_is_told_and_leaves_nobody() {
    let harness = Harness::new().await;
    let accounts = &harness.accounts;
    let (revoked, expired) = (harness.token().await, harness.token().await);
    assert_eq!(
        accounts.revoke_invites(&[InviteId(1), InviteId(1), InviteId(77)], &harness.by(), NOON).await.expect("revoked"),
        1
    );
    let redeem = async |token: &str, new: NewUser, now| {
        accounts.redeem(token, new, &Actor::nobody("192.0.2.9"), now).await.expect_err("refused")
    };
    assert!(matches!(redeem("hello", new_user("alice"), NOON).await, RedeemError::Unknown));
    assert!(matches!(redeem(&"0".repeat(26), new_user("alice"), NOON).await, RedeemError::Unknown));
    assert!(matches!(redeem(&revoked, new_user("alice"), NOON).await, RedeemError::Revoked));
    assert!(matches!(redeem(&expired, new_user("alice"), NOON + HOUR).await, RedeemError::Expired));
    // Without a good token nobody learns which names are taken.
    assert!(matches!(redeem(&revoked, new_user("boss"), NOON).await, RedeemError::Revoked));
    assert_eq!(accounts.users().await.expect("a list").len(), 1);
}

#[tokio::test]
async fn a_failed_redemption_leaves_the_token_unused() {
    let harness = Harness::new().await;
    let token = harness.token().await;
    let redeem = async |new: NewUser| harness.accounts.redeem(&token, new, &Actor::nobody("192.0.2.9"), NOON).await;
    assert!(matches!(redeem(new_user("BOSS")).await, Err(RedeemError::NameTaken)));
    for (field, bad) in [
        ("name", NewUser { name: "a b".into(), ..new_user("alice") }),
        ("display_name", NewUser { display_name: "\u{200b}".into(), ..new_user("alice") }),
        ("password", NewUser { password: "short".into(), ..new_user("alice") }),
    ] {
        let refused = redeem(bad).await.expect_err("refused");
        assert!(matches!(&refused, RedeemError::Invalid { field: found, .. } if *found == field), "{refused:?}");
    }
    redeem(new_user("alice")).await.expect("the token is still good");
}

#[tokio::test]
async fn expired_tokens_are_forgotten_by_a_purge() {
    let harness = Harness::new().await;
    harness.token().await;
    assert_eq!(harness.accounts.purge_invites(NOON).await.expect("purged"), 0);
    let listed = harness.accounts.invites(NOON + HOUR).await.expect("a list");
    assert_eq!((listed[0].status, listed[0].token.is_some()), (InviteStatus::Expired, true));
    assert_eq!(harness.accounts.purge_invites(NOON + HOUR).await.expect("purged"), 1);
    assert_eq!(harness.accounts.invites(NOON + HOUR).await.expect("a list")[0].token, None);
}

#[tokio::test(flavor = "multi_thread")]
async fn of_parallel_redemptions_of_one_token_exactly_one_wins() {
    let harness = Harness::new().await;
    for parallel in [2, 20] {
        let token = harness.token().await;
        let before = harness.accounts.users().await.expect("a list").len();
        let tasks: Vec<_> = (0..parallel)
            .map(|n| {
                let (accounts, token) = (harness.accounts.clone(), token.clone());
                let new = new_user(&format!("racer-{parallel}-{n}"));
                tokio::spawn(async move { accounts.redeem(&token, new, &Actor::nobody("192.0.2.9"), NOON).await })
            })
            .collect();
        let mut winners = Vec::new();
        for task in tasks {
            match task.await.expect("no panic") {
                Ok(user) => winners.push(user.id),
                Err(RedeemError::Used) => {}
                Err(other) => panic!("{other:?}"),
            }
        }
        assert_eq!(winners.len(), 1, "of {parallel}");
        let users = harness.accounts.users().await.expect("a list");
        assert_eq!(users.len(), before + 1, "the others left no user");
        assert_eq!(users.last().map(|user| user.id), winners.first().copied());
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn of_parallel_redemptions_for_one_name_exactly_one_wins_and_the_others_keep_their_tokens() {
    let harness = Harness::new().await;
    let (one, two) = (harness.token().await, harness.token().await);
    let redeem = |token: &str| {
        let (accounts, token) = (harness.accounts.clone(), token.to_owned());
        tokio::spawn(async move { accounts.redeem(&token, new_user("alice"), &Actor::nobody("192.0.2.9"), NOON).await })
    };
    let (first, second) = (redeem(&one), redeem(&two));
    let (first, second) = (first.await.expect("no panic"), second.await.expect("no panic"));
    assert!(
        matches!((&first, &second), (Ok(_), Err(RedeemError::NameTaken)) | (Err(RedeemError::NameTaken), Ok(_))),
        "{first:?} {second:?}"
    );
    let unused = if first.is_ok() { two } else { one };
    harness.accounts.check_invite(&unused, NOON).await.expect("still good");
}
