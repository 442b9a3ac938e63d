//! Certificates of all kinds: what we take is what OpenSSL's client and Chromium take, but for the rows that say why not.

mod identity;

use flowtest_contest::Endpoint;
use flowtest_contest::policy::TlsTrust;
use flowtest_contract::Rules;
use flowtest_contract::rules::Deadlines;
use flowtest_contract::verdict::Failure;
use flowtest_loadgen::admit::probe::{Terms, probe};
use flowtest_loadgen::admit::trust::ContestTrust;
use flowtest_testkit::{is_long, not_played};
use identity::{configured, rsa, serve};
use rcgen::{
    BasicConstraints, CertificateParams, DnType, ExtendedKeyUsagePurpose, GeneralSubtree, IsCa, Issuer, KeyPair,
    KeyUsagePurpose, NameConstraints, SanType,
};
use rustls::pki_types::CertificateDer;
use std::net::SocketAddr;
use std::process::{Command, Stdio};
use std::time::Duration;

const WAIT_MAX: Duration = Duration::from_secs(20);
const HOST: &str = "shop.example";

/// Somebody who signs: a root, or one in between.
struct Signer {
    params: CertificateParams,
    key: KeyPair,
    certificate: CertificateDer<'static>,
    pem: String,
}

impl Signer {
    fn root(change: impl FnOnce(&mut CertificateParams)) -> Signer {
        Signer::root_of(KeyPair::generate().expect("a key"), change)
    }

    fn root_of(key: KeyPair, change: impl FnOnce(&mut CertificateParams)) -> Signer {
        let params = authority("root", change);
        let certificate = params.self_signed(&key).expect("a root");
        Signer { certificate: certificate.der().clone(), pem: certificate.pem(), params, key }
    }

    fn below(&self, name: &str, change: impl FnOnce(&mut CertificateParams)) -> Signer {
        let (params, key) = (authority(name, change), KeyPair::generate().expect("a key"));
        let certificate = params.signed_by(&key, &Issuer::from_params(&self.params, &self.key)).expect("signed");
        Signer { certificate: certificate.der().clone(), pem: certificate.pem(), params, key }
    }

    /// A server's certificate, with the key of its own.
    fn leaf(&self, params: &CertificateParams, key: &KeyPair) -> CertificateDer<'static> {
        let signed = params.signed_by(key, &Issuer::from_params(&self.params, &self.key));
        signed.expect("signed").der().clone()
    }
}

fn authority(name: &str, change: impl FnOnce(&mut CertificateParams)) -> CertificateParams {
    let mut params = CertificateParams::new(Vec::new()).expect("no names");
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    params.distinguished_name.push(DnType::CommonName, format!("the {name} of the test"));
    change(&mut params);
    params
}

/// A certificate for these names, changed.
fn leaf(names: &[&str], change: impl FnOnce(&mut CertificateParams)) -> CertificateParams {
    let mut params =
        CertificateParams::new(names.iter().map(|name| (*name).to_owned()).collect::<Vec<_>>()).expect("names");
    params.distinguished_name = rcgen::DistinguishedName::new();
    params.distinguished_name.push(DnType::CommonName, "a server of the test");
    change(&mut params);
    params
}

fn past(params: &mut CertificateParams) {
    params.not_before = rcgen::date_time_ymd(2020, 1, 1);
    params.not_after = rcgen::date_time_ymd(2021, 1, 1);
}

fn another(params: &mut CertificateParams) {
    params.distinguished_name.push(DnType::CommonName, "another root of the test");
}

/// What a server shows, its key, and whom the client trusts.
struct Shown {
    chain: Vec<CertificateDer<'static>>,
    key: KeyPair,
    trusted: String,
}

/// A certificate under a root that is trusted.
fn by_root(params: &CertificateParams) -> Shown {
    by_key(params, KeyPair::generate().expect("a key"))
}

fn by_key(params: &CertificateParams, key: KeyPair) -> Shown {
    signed_by(&Signer::root(|_| {}), params, key)
}

fn signed_by(root: &Signer, params: &CertificateParams, key: KeyPair) -> Shown {
    Shown { chain: vec![root.leaf(params, &key)], key, trusted: root.pem.clone() }
}

/// A certificate under one in between, of which the server shows these.
fn in_between(change: impl FnOnce(&mut CertificateParams), shows: bool) -> Shown {
    let (root, key) = (Signer::root(|_| {}), KeyPair::generate().expect("a key"));
    let between = root.below("one in between", change);
    let own = between.leaf(&leaf(&[HOST], |_| {}), &key);
    let chain = if shows { vec![own, between.certificate] } else { vec![own] };
    Shown { chain, key, trusted: root.pem }
}

/// Who takes it.
#[derive(Clone, Copy, Debug)]
struct Takes {
    /// What our sentence holds where we do not.
    ours: Result<(), &'static str>,
    open_ssl: bool,
    chromium: bool,
    /// Why not all are of one mind.
    why: &'static str,
}

const ALL: Takes = Takes { ours: Ok(()), open_ssl: true, chromium: true, why: "" };

const fn nobody(says: &'static str) -> Takes {
    Takes { ours: Err(says), open_ssl: false, chromium: false, why: "" }
}

/// (what it is, the host that is asked for, what is shown, who takes it)
type Row = (&'static str, &'static str, fn() -> Shown, Takes);

const EXPIRED: &str = "the certificate has expired";
const OTHER_NAME: &str = "for another name";
const NOBODY_TRUSTED: &str = "nobody trusted has signed";
const ISSUER: &str = "not signed by the authority that it names";
const CHAIN: &str = "may not sign the one below it";
const PURPOSE: &str = "must hold server authentication";
const KEY: &str = "has not signed the handshake by the key of its certificate";
const AUTHORITY: &str = "an authority's own (CA:TRUE";

/// As `openssl req -x509` makes it, and trusted.
fn own(change: impl FnOnce(&mut CertificateParams)) -> Shown {
    let params = leaf(&[HOST], |params| {
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        change(params);
    });
    let key = KeyPair::generate().expect("a key");
    let own = params.self_signed(&key).expect("signed");
    Shown { chain: vec![own.der().clone()], key, trusted: own.pem() }
}

fn with_name(name: &str) -> Shown {
    by_root(&leaf(&[], |params| params.subject_alt_names = vec![SanType::DnsName(name.try_into().expect("ASCII"))]))
}

fn with_address(address: &str) -> Shown {
    let address = address.parse().expect("an address");
    by_root(&leaf(&[], |params| params.subject_alt_names = vec![SanType::IpAddress(address)]))
}

const ROWS: [Row; 45] = [
    // Names.
    ("the host itself", HOST, || with_name(HOST), ALL),
    ("another host", HOST, || with_name("other.example"), nobody(OTHER_NAME)),
    ("a host below it", HOST, || with_name("www.shop.example"), nobody(OTHER_NAME)),
    ("the host in capitals", HOST, || with_name("SHOP.Example"), ALL),
    ("a wildcard", "a.shop.example", || with_name("*.shop.example"), ALL),
    ("a wildcard for what stands above it", HOST, || with_name("*.shop.example"), nobody(OTHER_NAME)),
    ("a wildcard for two labels", "a.b.shop.example", || with_name("*.shop.example"), nobody(OTHER_NAME)),
    ("a wildcard of a whole domain of the top", HOST, || with_name("*.example"), nobody(OTHER_NAME)),
    (
        "a part of a label as a wildcard",
        "ab.shop.example",
        || with_name("a*.shop.example"),
        Takes { open_ssl: true, why: "RFC 9525 6.3: a wildcard is the whole label", ..nobody(OTHER_NAME) },
    ),
    ("a name of other letters", "xn--bcher-kva.example", || with_name("xn--bcher-kva.example"), ALL),
    ("a wildcard for a name of other letters", "xn--bcher-kva.shop.example", || with_name("*.shop.example"), ALL),
    (
        "many names, of which the last is the host",
        HOST,
        || {
            let names: Vec<String> = (0..200).map(|number| format!("{number}.example")).collect();
            by_root(&leaf(&names.iter().map(String::as_str).chain([HOST]).collect::<Vec<_>>(), |_| {}))
        },
        ALL,
    ),
    (
        "the host as common name alone",
        HOST,
        || by_root(&leaf(&[], |params| params.distinguished_name.push(DnType::CommonName, HOST))),
        Takes { open_ssl: true, why: "RFC 9525 1.4: only alternative names count", ..nobody(OTHER_NAME) },
    ),
    (
        "the host as common name, and another as alternative name",
        HOST,
        || by_root(&leaf(&["other.example"], |params| params.distinguished_name.push(DnType::CommonName, HOST))),
        nobody(OTHER_NAME),
    ),
    ("no name at all", HOST, || by_root(&leaf(&[], |_| {})), nobody(OTHER_NAME)),
    // Addresses.
    ("the address itself", "127.0.0.1", || with_address("127.0.0.1"), ALL),
    ("another address", "127.0.0.1", || with_address("127.0.0.2"), nobody(OTHER_NAME)),
    ("the address as a name", "127.0.0.1", || with_name("127.0.0.1"), nobody(OTHER_NAME)),
    ("a wildcard for an address", "127.0.0.1", || with_name("*.0.0.1"), nobody(OTHER_NAME)),
    ("an address of IPv6", "[2001:db8::1]", || with_address("2001:db8::1"), ALL),
    ("an address for a name", HOST, || with_address("127.0.0.1"), nobody(OTHER_NAME)),
    // Dates.
    ("expired", HOST, || by_root(&leaf(&[HOST], past)), nobody(EXPIRED)),
    (
        "not valid yet",
        HOST,
        || {
            by_root(&leaf(&[HOST], |params| {
                (params.not_before, params.not_after) =
                    (rcgen::date_time_ymd(2200, 1, 1), rcgen::date_time_ymd(2201, 1, 1));
            }))
        },
        nobody("not valid yet"),
    ),
    ("one in between expired", HOST, || in_between(past, true), nobody(EXPIRED)),
    (
        "a root that has expired",
        HOST,
        || signed_by(&Signer::root(past), &leaf(&[HOST], |_| {}), KeyPair::generate().expect("a key")),
        Takes {
            ours: Ok(()),
            why: "RFC 5280 6.1.1: of a root its name and key count, and whoever trusts it is to take it away",
            ..nobody("")
        },
    ),
    // Chains.
    ("one in between", HOST, || in_between(|_| {}, true), ALL),
    ("one in between that is not shown", HOST, || in_between(|_| {}, false), nobody(NOBODY_TRUSTED)),
    (
        "one in between behind another that has nothing to do with it",
        HOST,
        || {
            let mut shown = in_between(|_| {}, true);
            shown.chain.insert(1, Signer::root(|_| {}).certificate);
            shown
        },
        ALL,
    ),
    (
        "one in between that may sign nothing",
        HOST,
        || in_between(|params| params.is_ca = IsCa::ExplicitNoCa, true),
        nobody(CHAIN),
    ),
    (
        "one in between for other names",
        HOST,
        || {
            let only = NameConstraints {
                permitted_subtrees: vec![GeneralSubtree::DnsName("other.example".to_owned())],
                excluded_subtrees: Vec::new(),
            };
            in_between(|params| params.name_constraints = Some(only), true)
        },
        nobody(CHAIN),
    ),
    (
        "two in between where one was allowed",
        HOST,
        || {
            let (root, key) = (Signer::root(|_| {}), KeyPair::generate().expect("a key"));
            let first = root.below("first", |params| params.is_ca = IsCa::Ca(BasicConstraints::Constrained(0)));
            let second = first.below("second", |_| {});
            let own = second.leaf(&leaf(&[HOST], |_| {}), &key);
            Shown { chain: vec![own, second.certificate, first.certificate], key, trusted: root.pem }
        },
        nobody(CHAIN),
    ),
    (
        "nobody trusted",
        HOST,
        || Shown { trusted: Signer::root(another).pem, ..by_root(&leaf(&[HOST], |_| {})) },
        nobody(NOBODY_TRUSTED),
    ),
    (
        "signed by another authority than the trusted one of that name",
        HOST,
        || Shown { trusted: Signer::root(|_| {}).pem, ..by_root(&leaf(&[HOST], |_| {})) },
        nobody(ISSUER),
    ),
    // An authority's own certificate as a server's.
    ("signed by itself, and trusted as such", HOST, || own(|params| params.is_ca = IsCa::NoCa), ALL),
    ("an authority's, and trusted as such", HOST, || own(|_| {}), ALL),
    ("an authority's, trusted as such and expired", HOST, || own(past), nobody(EXPIRED)),
    ("an authority's, trusted as such for another name", "other.example", || own(|_| {}), nobody(OTHER_NAME)),
    (
        "an authority's, trusted as such and for clients alone",
        HOST,
        || own(|params| params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ClientAuth]),
        nobody(PURPOSE),
    ),
    (
        "an authority's that nobody trusts",
        HOST,
        || Shown { trusted: Signer::root(|_| {}).pem, ..own(|_| {}) },
        nobody(AUTHORITY),
    ),
    (
        "an authority's, signed by another one that is trusted",
        HOST,
        || by_root(&leaf(&[HOST], |params| params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained))),
        Takes {
            open_ssl: true,
            chromium: true,
            why: "webpki and Firefox take no authority for a server, and no public authority may make such a one: Baseline \
                  Requirements 7.1.2.7.8; the sentence says what to do",
            ..nobody(AUTHORITY)
        },
    ),
    // What it is for, and what it is made of.
    ("a key of RSA", HOST, || by_key(&leaf(&[HOST], |_| {}), rsa()), ALL),
    (
        "signed by a root with a key of RSA",
        HOST,
        || signed_by(&Signer::root_of(rsa(), |_| {}), &leaf(&[HOST], |_| {}), KeyPair::generate().expect("a key")),
        ALL,
    ),
    (
        "of which the server has another key",
        HOST,
        || Shown { key: KeyPair::generate().expect("a key"), ..by_root(&leaf(&[HOST], |_| {})) },
        nobody(KEY),
    ),
    (
        "for clients alone",
        HOST,
        || by_root(&leaf(&[HOST], |params| params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ClientAuth])),
        nobody(PURPOSE),
    ),
    (
        "for signing certificates alone",
        HOST,
        || by_root(&leaf(&[HOST], |params| params.key_usages = vec![KeyUsagePurpose::KeyCertSign])),
        Takes {
            ours: Ok(()),
            why: "webpki and Firefox do not look at the usage of keys, which adds nothing to a key that signed the handshake",
            ..nobody("")
        },
    ),
];

/// What we say of it: nothing, or a sentence.
fn ours(host: &str, address: SocketAddr, ca: &str) -> Result<(), String> {
    let trust = ContestTrust::new(&[ca.into()]).expect("an authority");
    let endpoint: Endpoint = format!("https://{host}:{}/", address.port()).parse().expect("an endpoint");
    let tls = trust.of(TlsTrust::Verify).server(&endpoint).expect("a name");
    let rules = Rules { timeout_us: WAIT_MAX.as_micros() as u64, ..Rules::default() };
    let terms = Terms { tokens: 1, ..Terms::new(rules, Deadlines::default()) };
    let report = probe(&endpoint, tls.as_ref(), &[address], &terms, None, WAIT_MAX).expect("it was asked");
    match report.exchanges[0].finding.failure() {
        None => Ok(()),
        Some(failure) => {
            assert_eq!(failure, Failure::Tls, "{report:?}");
            Err(report.message())
        }
    }
}

fn open_ssl(host: &str, address: SocketAddr, ca: &str) -> Result<(), String> {
    let mut command = Command::new("openssl");
    command.args(["s_client", "-connect", &address.to_string(), "-CAfile", ca, "-no-CApath", "-no-CAstore"]);
    command.args(["-verify_return_error", "-brief", "-purpose", "sslserver"]);
    match host.trim_matches(['[', ']']) {
        address if address.parse::<std::net::IpAddr>().is_ok() => {
            command.args(["-noservername", "-verify_ip", address])
        }
        name => command.args(["-servername", name, "-verify_hostname", name]),
    };
    let output = command.stdin(Stdio::null()).output().expect("openssl runs");
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    if output.status.success() { Ok(()) } else { Err(said) }
}

/// A browser of its own, which trusts nobody else.
fn chromium(host: &str, address: SocketAddr, ca: &str) -> Result<(), String> {
    let home = tempfile::tempdir().expect("a folder");
    let path = |name: &str| home.path().join(name).display().to_string();
    std::fs::create_dir_all(path(".pki/nssdb")).expect("a folder");
    let store = format!("sql:{}", path(".pki/nssdb"));
    for flags in [&["-N", "--empty-password"][..], &["-A", "-n", "the root of the test", "-t", "C,,", "-i", ca]] {
        let mut command = Command::new("certutil");
        command.args(flags).args(["-d", &store]);
        flowtest_testkit::run(&command).exits(0);
    }
    let mut command = Command::new("chromium");
    command.env("HOME", home.path()).args([
        "--headless=new",
        "--no-sandbox",
        "--disable-dev-shm-usage",
        "--disable-gpu",
        "--no-first-run",
        "--disable-background-networking",
        "--disable-component-update",
        "--enable-logging=stderr",
        "--host-resolver-rules=MAP * 127.0.0.1",
        &format!("--user-data-dir={}", path("profile")),
        "--dump-dom",
        &format!("https://{host}:{}/", address.port()),
    ]);
    let said = flowtest_testkit::run(&command);
    if said.out.contains(">ok<") {
        return Ok(());
    }
    let why = said.err.lines().filter(|line| line.contains("net_error")).collect::<Vec<_>>().join("; ");
    Err(format!("{why} {}", said.out.chars().take(200).collect::<String>()))
}

/// Who asks, how, and what the rows expect of it.
type Client = (&'static str, fn(&str, SocketAddr, &str) -> Result<(), String>, fn(&Takes) -> Result<(), &'static str>);

const WE: Client = ("we", ours, |takes| takes.ours);
const OPEN_SSL: Client = ("openssl", open_ssl, |takes| taken(takes.open_ssl));
const CHROMIUM: Client = ("chromium", chromium, |takes| taken(takes.chromium));

/// Asks every row's server by each of these, and says which of them think otherwise than the row does.
fn differing(clients: &[Client]) -> Vec<String> {
    let folder = tempfile::tempdir().expect("a folder");
    let ca = folder.path().join("ca.pem").display().to_string();
    let mut wrong = Vec::new();
    for (what, host, shown, takes) in ROWS {
        let Shown { chain, key, trusted } = shown();
        std::fs::write(&ca, trusted).expect("written");
        let address = serve(configured(chain, &key.serialize_der(), rustls::ALL_VERSIONS), 0);
        for (who, client, expected) in clients {
            let (said, expected) = (client(host, address, &ca), expected(&takes));
            let is_so = match (&said, expected) {
                (Ok(()), Ok(())) => true,
                (Err(said), Err(says)) => said.contains(says),
                _ => false,
            };
            if !is_so {
                wrong.push(format!("{what}: {who} says {said:?}"));
            }
        }
    }
    wrong
}

fn taken(is_taken: bool) -> Result<(), &'static str> {
    if is_taken { Ok(()) } else { Err("") }
}

#[test]
fn what_we_take_is_what_openssl_takes_but_for_the_rows_that_say_why_not() {
    for (what, _, _, takes) in ROWS {
        let is_of_one_mind = takes.open_ssl == takes.chromium && takes.open_ssl == takes.ours.is_ok();
        assert_eq!(takes.why.is_empty(), is_of_one_mind, "{what}");
    }
    let mut clients = vec![WE];
    if Command::new("openssl").arg("version").output().is_ok() {
        clients.push(OPEN_SSL);
    } else {
        not_played("openssl is not here: what we take is held against the table alone");
    }
    let wrong = differing(&clients);
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

/// A browser for each row takes its time.
#[test]
fn what_chromium_takes_is_what_the_rows_say() {
    let is_here = |program: &str| Command::new(program).arg("--version").output().is_ok();
    if !is_long() || !is_here("chromium") || !is_here("certutil") {
        not_played("chromium: not asked for by FLOWTEST_LONG, or there is no chromium or certutil");
        return;
    }
    let wrong = differing(&[CHROMIUM]);
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}
