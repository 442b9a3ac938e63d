//! `--capacity`: a closed loop gets exactly as many, below it nobody waits, far above it requests fail.

mod common;

use common::{DRIVERS, Target, token};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

/// Connections that ask again as soon as they are answered, and a count of answers that all of them add to.
fn closed_loop<T>(target: &Target, connections: u64, look: impl FnOnce(&AtomicU64) -> T) -> T {
    let (answered, stop) = (AtomicU64::new(0), AtomicBool::new(false));
    std::thread::scope(|scope| {
        for connection in 0..connections {
            let (answered, stop) = (&answered, &stop);
            scope.spawn(move || {
                let mut client = target.client();
                for number in 0.. {
                    if stop.load(Ordering::Relaxed) {
                        break;
                    }
                    let token = token(connection << 32 | number);
                    let response = client.get(&token).expect("answered");
                    assert_eq!((response.status, response.header("token")), (200, Some(token.as_str())));
                    answered.fetch_add(1, Ordering::Relaxed);
                }
            });
        }
        let seen = look(&answered);
        stop.store(true, Ordering::Relaxed);
        seen
    })
}

#[test]
fn a_closed_loop_gets_as_many_a_second_as_the_capacity_says() {
    const PER_SECOND: f64 = 400.0;
    for driver in DRIVERS {
        let target = Target::start(&["--driver", driver, "--capacity", "400"]);
        let ratios = closed_loop(&target, 16, |answered| {
            let mut ratios = Vec::new();
            target.wait_for("the bucket is empty", |health| health["capacity"]["waited"].as_u64() > Some(100));
            // A busy machine may stop us for longer than the bucket lasts, and then for once it is less.
            for _ in 0..10 {
                let (from, since) = (answered.load(Ordering::Relaxed), Instant::now());
                std::thread::sleep(Duration::from_secs(2));
                let seconds = since.elapsed().as_secs_f64();
                let count = (answered.load(Ordering::Relaxed) - from) as f64;
                // Never more, whatever the machine does: what fell due, a full bucket, and what was under way.
                assert!(count <= PER_SECOND * (seconds + 0.05) + 17.0, "{driver}: {count} in {seconds} s");
                ratios.push(count / (PER_SECOND * seconds));
                if ratios.last().is_some_and(|ratio| (0.97..=1.03).contains(ratio)) {
                    break;
                }
            }
            ratios
        });
        let last = ratios.last().copied().unwrap_or(0.0);
        assert!((0.97..=1.03).contains(&last), "{driver}: of the capacity it answered {ratios:?}");
        eprintln!("{driver}: of 400/s a closed loop of 16 got {ratios:?}");
        let health = target.health();
        assert!(health["capacity"]["waited"].as_u64() > Some(0), "{driver}: {health}");
        assert_eq!((&health["capacity"]["refused"], &health["statuses"]["503"]), (&0.into(), &0.into()), "{driver}");
    }
}

#[test]
fn below_the_capacity_no_request_waits() {
    for driver in DRIVERS {
        let target = Target::start(&["--driver", driver, "--capacity", "400"]);
        let mut client = target.client();
        // Never above 333 a second, three at a time.
        for round in 0..100 {
            for number in 0..3 {
                client.get(&token(round * 3 + number)).expect("answered");
            }
            std::thread::sleep(Duration::from_millis(9));
        }
        let summary = target.stop();
        assert_eq!((&summary["tokens"], &summary["capacity"]["waited"]), (&300.into(), &0.into()), "{driver}");
    }
}

#[test]
fn above_the_capacity_answers_get_slow_and_then_fail_and_health_does_not() {
    for driver in DRIVERS {
        let target = Target::start(&["--driver", driver, "--capacity", "20"]);
        // All at once: two from the bucket, some twenty from the queue, and no place for the others.
        let mut clients: Vec<_> = (0..60).map(|_| target.client()).collect();
        let began = Instant::now();
        for (number, client) in clients.iter_mut().enumerate() {
            client.send(common::get(&token(number as u64)).as_bytes());
        }
        // It answers at once, not behind the queue.
        let health = target.wait_for("the queue is full", |health| health["statuses"]["503"].as_u64() > Some(0));
        assert_eq!(health["capacity"]["per_second"], 20);
        let mut statuses = [0, 0];
        for (number, client) in clients.iter_mut().enumerate() {
            let response = client.response(false).expect("answered");
            let echoed = response.header("token").map(str::to_owned);
            assert!(!response.closes(), "{driver}: the connection goes on");
            match response.status {
                200 => {
                    statuses[0] += 1;
                    assert_eq!(echoed, Some(token(number as u64)), "{driver}");
                }
                503 => {
                    statuses[1] += 1;
                    assert_eq!(echoed, None, "{driver}");
                }
                other => panic!("{driver}: {other}"),
            }
        }
        let most = 20.0 * began.elapsed().as_secs_f64() + 3.0;
        assert!((20..=most as u32).contains(&statuses[0]), "{driver}: {statuses:?}, at most {most}");
        let summary = target.stop();
        assert_eq!(summary["capacity"]["refused"], statuses[1], "{driver}");
        assert_eq!(summary["statuses"]["503"], statuses[1], "{driver}");
        assert_eq!((&summary["requests"], &summary["responses"]), (&60.into(), &60.into()), "{driver}");
    }
}
