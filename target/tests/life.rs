//! A server's life: flips on time, limits, draining, and bad starts.

mod common;

use common::{DRIVERS, Failure, Target, get, token};
use std::process::{Command, Output};
use std::time::{Duration, Instant, SystemTime};

#[test]
fn version_and_platform_flip_on_time_and_together() {
    for driver in DRIVERS {
        let flip = SystemTime::now() + Duration::from_millis(1500);
        let instant = jiff::Timestamp::try_from(flip).expect("a timestamp").to_string();
        let (version, from) = (format!("v1,v2@{instant}"), format!("EC2,ECS@{instant}"));
        let target = Target::start(&["--driver", driver, "--version", &version, "--from", &from]);
        let mut client = target.client();
        let (mut before, mut after) = (0, 0);
        for number in 0..10_000 {
            let sent = SystemTime::now();
            let response = client.get(&token(number)).expect("answered");
            let received = SystemTime::now();
            match (response.header("version"), response.header("from")) {
                (Some("v1"), Some("EC2")) => {
                    assert_eq!(after, 0, "{driver}: it flipped back");
                    // Far within the grace of five seconds.
                    assert!(sent < flip + Duration::from_secs(2), "{driver}: it flipped late");
                    before += 1;
                }
                (Some("v2"), Some("ECS")) => {
                    assert!(received >= flip, "{driver}: it flipped early");
                    after += 1;
                }
                other => panic!("{driver}: {other:?}"),
            }
            if after > 20 {
                break;
            }
            std::thread::sleep(Duration::from_millis(2));
        }
        assert!(before > 0 && after > 20, "{driver}: {before} before, {after} after");
    }
}

#[test]
fn a_slow_loris_is_told_that_it_is_too_late() {
    for driver in DRIVERS {
        let target = Target::start(&["--driver", driver, "--request-timeout", "300ms"]);
        for request in [
            get(&token(1)),
            "POST / HTTP/1.1\r\nHost: t\r\nContent-Length: 60000\r\n\r\n".to_owned() + &"x".repeat(999),
        ] {
            let mut client = target.client();
            client.read_timeout(Duration::from_millis(10));
            let mut answer = Err(Failure::Timeout);
            for byte in request.as_bytes().chunks(1).take(request.len() - 1) {
                client.send(byte);
                answer = client.response(false);
                if answer != Err(Failure::Timeout) {
                    break;
                }
            }
            let answer = answer.unwrap_or_else(|error| panic!("{driver}: {error:?}"));
            assert!(answer.status == 408 && answer.closes(), "{driver}: {answer:?}");
            client.read_timeout(common::TIMEOUT);
            assert!(client.is_closed(), "{driver}");
        }
    }
}

#[test]
fn an_idle_connection_is_closed_without_a_word_and_a_used_one_is_not() {
    for driver in DRIVERS {
        let target = Target::start(&["--driver", driver, "--idle-timeout", "400ms"]);
        let (mut idle, mut used) = (target.client(), target.client());
        idle.get(&token(1)).expect("answered");
        for number in 0..20 {
            used.get(&token(number)).expect("answered");
            std::thread::sleep(Duration::from_millis(50));
        }
        assert!(idle.is_closed(), "{driver}");
        target.wait_for("one connection less", |health| health["connections_open"] == 2);
    }
}

#[test]
fn a_client_that_never_reads_is_given_up() {
    for driver in DRIVERS {
        let target = Target::start(&["--driver", driver, "--idle-timeout", "400ms", "--request-timeout", "400ms"]);
        let mut client = target.client();
        let requests = get(&token(1)).repeat(100);
        std::thread::scope(|scope| {
            scope.spawn(move || {
                // Far more responses than the sockets' buffers hold; ends when the server gives up.
                for _ in 0..2_000 {
                    client.send(requests.as_bytes());
                }
            });
            target.wait_for("giving up", |health| {
                health["connections"].as_u64() > Some(1) && health["connections_open"] == 1
            });
        });
    }
}

#[test]
fn stopping_answers_what_is_in_flight_and_tells_the_others_to_go() {
    const PLAYS: usize = 3;
    for driver in DRIVERS {
        // Whoever comes too late to be told is closed without a word: on a busy machine that may be us.
        assert!((0..PLAYS).any(|_| is_told_to_go(driver)), "{driver}: an idle connection got no last answer");
    }
}

/// Stops a server while one connection waits for an answer and another one is idle. `false`: the idle one asked too late.
fn is_told_to_go(driver: &str) -> bool {
    let target = Target::start(&["--driver", driver, "--faults", "delay:3=400ms"]);
    let (mut idle, mut slow) = (target.client(), target.client());
    idle.get(&token(1)).expect("answered");
    // The third request of all waits; the two behind it stand in the same connection.
    slow.send([get(&token(2)), get(&token(3)), get(&token(4)), get(&token(5))].concat().as_bytes());
    target.wait_for("the delayed request", |health| health["tokens"] == 3);
    target.signal_stop();
    // A stopping server takes no further connections.
    while std::net::TcpStream::connect(target.address).is_ok() {}
    // The listener may know of the end a moment before the connection does.
    let mut asked = 5;
    let last = loop {
        asked += 1;
        let Ok(answer) = idle.get(&token(6)) else { return false };
        if answer.closes() || asked == 100 {
            break answer;
        }
    };
    assert!(last.closes() && last.header("token") == Some(token(6).as_str()), "{driver}");
    for number in 2..=5 {
        let response = slow.response(false).expect("in flight");
        assert_eq!(response.header("token"), Some(token(number).as_str()), "{driver}");
        assert_eq!(response.closes(), number == 5, "{driver}");
    }
    assert!(idle.is_closed() && slow.is_closed(), "{driver}");
    drop((idle, slow));
    let summary = target.stopped();
    assert_eq!((&summary["requests"], &summary["responses"]), (&asked.into(), &asked.into()), "{driver}");
    true
}

#[test]
fn stopping_is_bounded_though_clients_stay() {
    for driver in DRIVERS {
        let target = Target::start(&["--driver", driver]);
        let mut stays = target.client();
        stays.get(&token(1)).expect("answered");
        let mut half = target.client();
        half.send(b"GET / HT");
        let began = Instant::now();
        // The page, and the 408 for the head that never came.
        assert_eq!(target.stop()["responses"], 2, "{driver}");
        assert!(began.elapsed() < common::TIMEOUT, "{driver}");
    }
}

#[test]
fn a_stopped_server_leaves_its_port_to_the_next_one() {
    let first = Target::start(&[]);
    let address = first.address.to_string();
    let mut client = first.client();
    client.get(&token(1)).expect("answered");
    first.stop();
    let second = Target::start(&["--listen", &address]);
    assert_eq!(second.address.to_string(), address);
}

#[test]
fn many_connections_come_and_go_and_none_stays_behind() {
    for driver in DRIVERS {
        let target = Target::start(&["--driver", driver]);
        for _ in 0..10 {
            let mut clients: Vec<_> = (0..50).map(|_| target.client()).collect();
            for (number, client) in clients.iter_mut().enumerate() {
                assert!(client.get(&token(number as u64)).is_ok());
            }
        }
        let health = target.wait_for("only ours", |health| health["connections_open"] == 1);
        assert_eq!(health["responses"], 500, "{driver}");
    }
}

#[test]
fn whoever_connects_without_a_pause_keeps_nobody_waiting() {
    for driver in DRIVERS {
        let target = Target::start(&["--driver", driver, "--cores", &first_core()]);
        let (address, stop) = (target.address, std::sync::atomic::AtomicBool::new(false));
        let mut client = target.client();
        std::thread::scope(|scope| {
            scope.spawn(|| {
                for _ in 0..20_000 {
                    if stop.load(std::sync::atomic::Ordering::Relaxed) || std::net::TcpStream::connect(address).is_err()
                    {
                        break;
                    }
                }
            });
            for number in 0..50 {
                assert!(client.get(&token(number)).is_ok(), "{driver}");
            }
            stop.store(true, std::sync::atomic::Ordering::Relaxed);
        });
        assert_eq!(target.stop()["responses"], 50, "{driver}");
    }
}

/// Ten thousand clients that connect and never say a word, or half of one.
#[test]
fn ten_thousand_silent_connections_are_closed_by_their_time_limits() {
    const CONNECTIONS: usize = 10_000;
    let limit = rustix::process::getrlimit(rustix::process::Resource::Nofile);
    let raised = rustix::process::Rlimit { current: limit.maximum, maximum: limit.maximum };
    rustix::process::setrlimit(rustix::process::Resource::Nofile, raised).expect("the soft limit may be raised");
    if limit.maximum.is_some_and(|maximum| maximum < CONNECTIONS as u64 + 500) {
        return eprintln!("skipped: ulimit -Hn is {:?} here, and ten thousand connections need more", limit.maximum);
    }
    for driver in DRIVERS {
        // One limit at a time: connecting takes longer than a second on a busy machine.
        for (limit, half) in [("--idle-timeout", ""), ("--request-timeout", "GET / HTTP/1.1\r\nHost: t")] {
            let target = Target::start(&["--driver", driver, limit, "1s"]);
            let mut clients: Vec<_> = (0..CONNECTIONS).map(|_| target.client()).collect();
            for client in &mut clients {
                client.send(half.as_bytes());
            }
            target.wait_for("all are closed", |health| {
                health["connections"].as_u64() >= Some(CONNECTIONS as u64) && health["connections_open"] == 1
            });
            for client in &mut clients {
                if !half.is_empty() {
                    assert_eq!(client.response(false).map(|response| response.status), Ok(408), "{driver}");
                }
                assert!(client.is_closed(), "{driver}, {half:?}");
            }
            assert!(target.client().get(&token(1)).is_ok(), "{driver}");
        }
    }
}

/// A shell that does this and then becomes the target, by way of a wrapper.
fn behind(script: &str, wrapper: &str, flags: &[&str]) -> Command {
    let mut command = Command::new("sh");
    command.args(["-c", &format!("{script}; exec {wrapper} \"$0\" \"$@\""), env!("CARGO_BIN_EXE_flowtest-target")]);
    command.args(["--listen", "127.0.0.1:0", "--json"]).args(flags);
    command
}

/// Linux 6.14 and newer charge rings to the limit of locked memory: there is room for the small one that asks whether
/// io_uring is allowed, and none for those of the workers.
#[test]
fn without_locked_memory_it_serves_by_epoll_and_says_why() {
    if !rustix::process::geteuid().is_root() {
        return eprintln!("skipped: only root can become nobody, to whom the limit of locked memory applies");
    }
    let as_nobody =
        |flags: &[&str]| behind("ulimit -l 64", "setpriv --reuid 65534 --regid 65534 --clear-groups --", flags);
    if !as_nobody(&["-V"]).output().is_ok_and(|output| output.status.success()) {
        return eprintln!("skipped: nobody may not run the test's binary");
    }
    let target = Target::start_as(&as_nobody(&[]));
    assert!(target.client().get(&token(1)).is_ok());
    if target.listening["driver"] == "io_uring" {
        return eprintln!("skipped: this kernel does not charge rings to the limit of locked memory");
    }
    assert_eq!(target.listening["driver"], "epoll");
    let complaints = target.complaints();
    assert!(complaints.contains("io_uring was refused") && complaints.contains("ulimit -l"), "{complaints}");
    let insists = as_nobody(&["--driver", "io_uring"]).output().expect("runs");
    let stderr = String::from_utf8_lossy(&insists.stderr);
    assert!(insists.status.code() == Some(1) && stderr.contains("a worker did not start"), "{stderr}");
}

#[test]
fn a_cpu_quota_decides_how_many_workers_there_are_and_they_are_not_pinned() {
    let cores = core_affinity::get_core_ids().expect("cores").len();
    if !rustix::process::geteuid().is_root() || cores < 2 {
        return eprintln!("skipped: this needs two cores, and root to show the target a cgroup");
    }
    let folder = std::env::temp_dir().join(format!("flowtest-target-quota-{}", std::process::id()));
    // (version of cgroups, the file with the quota of one core and a half, what the kernel says of the process)
    let quotas =
        [("v2", "cpu.max", "150000 100000\n", "0::/a\n"), ("v1", "cpu/a/cpu.cfs_quota_us", "150000\n", "1:cpu:/a\n")];
    for (version, file, quota, belongs) in quotas {
        let root = folder.join(version);
        let (cgroup, controllers) = (root.join("cgroup"), root.join("fs"));
        for group in ["a", "cpu/a"] {
            std::fs::create_dir_all(controllers.join(group)).expect("a folder");
        }
        if version == "v2" {
            std::fs::write(controllers.join("a/cgroup.controllers"), "cpu\n").expect("written");
            std::fs::write(controllers.join("a").join(file), quota).expect("written");
        } else {
            std::fs::write(controllers.join(file), quota).expect("written");
            std::fs::write(controllers.join("cpu/a/cpu.cfs_period_us"), "100000\n").expect("written");
        }
        std::fs::write(&cgroup, belongs).expect("written");
        let shown = format!(
            "mount --bind {} /proc/$$/cgroup && mount --bind {} /sys/fs/cgroup || exit 77",
            cgroup.display(),
            controllers.display()
        );
        let inside = |flags: &[&str]| {
            let target = behind(&shown, "", flags);
            let mut command = Command::new("unshare");
            command.args(["--mount", "--"]).arg(target.get_program()).args(target.get_args());
            command
        };
        let probe = inside(&["-V"]).output();
        if !probe.is_ok_and(|output| output.status.success()) {
            return eprintln!("skipped: no mount namespaces here");
        }
        let mut two: Vec<_> = (0..2).map(|_| Target::start_as(&inside(&[]))).collect();
        for target in &mut two {
            assert_eq!(target.listening["workers"], 1, "{version}: {}", target.listening);
            assert_eq!(target.listening["cores"], serde_json::json!([]), "{version}");
            assert!(target.client().get(&token(1)).is_ok());
            // The kernel says of each thread where it may run: anywhere, or two tasks on one host would meet.
            let tasks = std::fs::read_dir(format!("/proc/{}/task", target.id())).expect("tasks");
            for task in tasks {
                let status = std::fs::read_to_string(task.expect("a task").path().join("status")).expect("status");
                let allowed = status.lines().find(|line| line.starts_with("Cpus_allowed:")).expect("a line");
                let mask = allowed.split_whitespace().nth(1).expect("a mask").replace(',', "");
                let count = mask.chars().filter_map(|digit| digit.to_digit(16)).map(u32::count_ones).sum::<u32>();
                assert_eq!(count as usize, cores, "{version}: {allowed}");
            }
        }
        // Who lists cores gets them, whatever the quota.
        let target = Target::start_as(&inside(&["--cores", &first_core()]));
        assert_eq!(target.listening["cores"].as_array().map(Vec::len), Some(1), "{version}");
    }
    std::fs::remove_dir_all(&folder).expect("removed");
}

/// A core that this process may use: a container need not have core 0.
fn first_core() -> String {
    core_affinity::get_core_ids().and_then(|cores| cores.first().copied()).expect("a core").id.to_string()
}

/// Runs a start that must fail, and holds it to its promise: a sentence, an exit code, no panic.
fn failing(flags: &[&str], code: i32, hint: &str) {
    let Output { status, stderr, .. } = common::command(flags).output().expect("runs");
    let stderr = String::from_utf8_lossy(&stderr);
    assert_eq!(status.code(), Some(code), "{flags:?}: {stderr}");
    assert!(stderr.contains(hint), "{flags:?}: {stderr}");
    assert!(!stderr.contains("panicked") && !stderr.contains("RUST_BACKTRACE"), "{flags:?}: {stderr}");
}

#[test]
fn a_bad_start_is_a_sentence_with_a_next_step() {
    let running = Target::start(&[]);
    let taken = running.address.to_string();
    let cases: [(&[&str], i32, &str); 10] = [
        (&["--listen", &taken], 1, "is in use: another server listens there; stop it"),
        (&["--listen", "192.0.2.1:8080"], 1, "is no address of this machine; choose one"),
        (&["--listen", "nowhere"], 2, "write an address and a port"),
        (&["--version", "v1,v2@tomorrow"], 2, "write an instant such as"),
        (&["--from", "GCP"], 2, "write EC2, ECS"),
        (&["--cores", "4095"], 2, "core 4095 does not exist or this process may not use it; it may use"),
        (&["--faults", "explode:3"], 2, "known are wrong_token"),
        (&["--faults", "reset:0"], 2, "write a whole number from 1 on"),
        (&["--driver", "kqueue"], 2, "possible values: auto, io_uring, epoll"),
        (&["--colour"], 2, "unexpected argument"),
    ];
    for (flags, code, hint) in cases {
        // The last --listen counts.
        let listen: Vec<&str> = flags.to_vec();
        failing(&listen, code, hint);
    }
}

#[test]
fn a_port_that_belongs_to_root_is_explained() {
    use std::os::unix::process::CommandExt;
    let first = std::fs::read_to_string("/proc/sys/net/ipv4/ip_unprivileged_port_start").unwrap_or_default();
    if !rustix::process::geteuid().is_root() {
        return eprintln!("skipped: only root can become nobody; the sentence itself is tested in server.rs");
    }
    if first.trim().parse::<u16>().unwrap_or(0) <= 80 {
        return eprintln!("skipped: on this machine port 80 is everybody's (net.ipv4.ip_unprivileged_port_start)");
    }
    const NOBODY: u32 = 65534;
    // Where nobody may not run the test's binary at all there is nothing to see.
    let output = match common::command(&["--listen", "127.0.0.1:80"]).uid(NOBODY).gid(NOBODY).output() {
        Ok(output) => output,
        Err(error) => return eprintln!("skipped: nobody may not run the test's binary ({error})"),
    };
    let stderr = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(1), "{stderr}");
    assert!(
        stderr.contains("no permission to listen on 127.0.0.1:80") && stderr.contains("--listen 0.0.0.0:8080"),
        "{stderr}"
    );
}

#[test]
fn the_environment_speaks_too_and_v_is_the_programs_version() {
    let output = common::command(&["-V"]).output().expect("runs");
    assert_eq!(String::from_utf8_lossy(&output.stdout), format!("flowtest-target {}\n", env!("CARGO_PKG_VERSION")));
    let output = common::command(&[]).env("FLOWTEST_TARGET_FAULTS", "nonsense").output().expect("runs");
    assert_eq!(output.status.code(), Some(2));
    assert!(String::from_utf8_lossy(&output.stderr).contains("--faults \"nonsense\""));
}

#[test]
fn it_listens_on_ipv6_as_well() {
    let target = Target::start(&["--listen", "[::1]:0"]);
    assert!(target.address.is_ipv6());
    assert!(target.client().get(&token(1)).is_ok());
}
