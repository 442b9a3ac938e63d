//! `serve`: everything started in order, and ended in order.

use crate::app::App;
use crate::cli::{LogFormat, Serve};
use crate::config::Config;
use crate::limits::connections::SLACK;
use crate::routes;
use metrics_exporter_prometheus::{PrometheusBuilder, PrometheusHandle};
use salvo::conn::rustls::{Keycert, RustlsConfig};
use salvo::prelude::*;
use salvo::server::ServerHandle;
use sd_notify::NotifyState;
use std::error::Error;
use std::sync::Arc;
use std::time::{Duration, SystemTime};
use tokio::signal::unix::{SignalKind, signal};

/// Longest head of a request, in bytes: what a connection of which nothing was heard yet may fill. The library's 400 KiB would
/// be as many megabytes for a thousand of them.
const HEAD_BYTES_MAX: usize = 32 << 10;
/// How long requests may go on after the end was asked for.
const DRAIN: Duration = Duration::from_secs(10);
/// How often durations that were measured become a summary.
const METRICS_TIDY_EVERY: Duration = Duration::from_secs(5);
/// How often the certificate is looked at.
const CERTIFICATE_EVERY: Duration = Duration::from_secs(60);
/// How often systemd hears of us.
const BEAT_EVERY: Duration = Duration::from_secs(2);
/// Frames come once a second, also while Redis is away; older than this, nobody makes them any more.
const FRAME_AGE_US_MAX: u64 = 10_000_000;

/// Serves until SIGTERM or SIGINT.
pub async fn serve(flags: &Serve) -> Result<(), Box<dyn Error>> {
    start_log(flags.log_format);
    let config = Config::new(flags)?;
    let metrics = config.metrics.map(|address| (address, start_metrics()));
    let app = App::start(config).await?;
    let listen = app.config.listen;
    let scheme = if app.config.tls.is_some() { "https" } else { "http" };
    let mut server = match app.config.tls.clone() {
        None => {
            let acceptor = TcpListener::new(listen).try_bind().await.map_err(|error| taken(listen, &error))?;
            let local = acceptor.local_addr()?;
            announce(scheme, local, &app);
            run(&app, acceptor)
        }
        Some(tls) => {
            // The first reading tells what is wrong before anybody connects.
            rustls_config(&tls)?;
            let configs = certificates(tls);
            let acceptor =
                TcpListener::new(listen).rustls(configs).try_bind().await.map_err(|error| taken(listen, &error))?;
            let local = acceptor.inner().local_addr()?;
            announce(scheme, local, &app);
            run(&app, acceptor)
        }
    };
    let measured = match metrics {
        Some((address, metrics)) => Some(serve_metrics(address, metrics).await?),
        None => None,
    };
    let heart = tokio::spawn(beat(Arc::clone(&app)));
    let mut terminate = signal(SignalKind::terminate())?;
    let mut interrupt = signal(SignalKind::interrupt())?;
    tokio::select! {
        _ = terminate.recv() => {}
        _ = interrupt.recv() => {}
        ended = &mut server.task => return Err(format!("the server ended by itself: {ended:?}").into()),
    }
    heart.abort();
    eprintln!("flowtest-dashboard: ending; requests get {} s to finish", DRAIN.as_secs());
    app.feed.hub().stop();
    server.handle.stop_graceful(DRAIN);
    let _ = server.task.await;
    if let Some(handle) = measured {
        handle.stop_forceful();
    }
    app.stop().await;
    Ok(())
}

/// Tells systemd that we are ready, and then that we live, as long as frames are made: a feed that is stuck, or a runtime
/// that does not come to this task, is silence, and systemd starts a silent service anew.
async fn beat(app: Arc<App>) {
    let _ = sd_notify::notify(&[NotifyState::Ready]);
    let mut every = tokio::time::interval(BEAT_EVERY);
    loop {
        every.tick().await;
        if app.now().saturating_since(app.feed.seen().at) < FRAME_AGE_US_MAX {
            let _ = sd_notify::notify(&[NotifyState::Watchdog]);
        }
    }
}

struct Running {
    handle: ServerHandle,
    task: tokio::task::JoinHandle<()>,
}

fn run<A>(app: &Arc<App>, acceptor: A) -> Running
where
    A: salvo::conn::Acceptor + Send + 'static,
{
    // Who has to go goes by itself: this is only for what is on its way out, and for proxies.
    let mut server =
        Server::new(acceptor).max_connections(app.connections.total() + SLACK).fuse_policy(app.connections.clone());
    server.http1_mut().max_buf_size(HEAD_BYTES_MAX);
    let handle = server.handle();
    let service = routes::service(app);
    Running { handle, task: tokio::spawn(server.serve(service)) }
}

/// One line for people and tests: which address was taken.
fn announce(scheme: &str, local: std::net::SocketAddr, app: &App) {
    app.listens_at(local);
    println!("flowtest-dashboard: {scheme}://{local} contest {}", app.config.contest);
    if scheme == "http" && !local.ip().is_loopback() && !app.config.is_https() {
        eprintln!(
            "flowtest-dashboard: passwords travel in the clear on {local}: give --tls-cert and --tls-key, or put a proxy \
             with TLS before it and give --public-url and --proxy"
        );
    }
}

fn taken(listen: std::net::SocketAddr, error: &dyn std::fmt::Display) -> String {
    format!("cannot listen on {listen} ({error}): give another --listen, or end what is there")
}

fn rustls_config(tls: &crate::config::Tls) -> Result<RustlsConfig, Box<dyn Error>> {
    let keycert = Keycert::new().cert_from_path(&tls.certificate)?.key_from_path(&tls.key)?;
    Ok(RustlsConfig::new(keycert))
}

/// The certificate now, and again whenever its file has changed, so that a renewal needs no restart.
fn certificates(tls: crate::config::Tls) -> impl futures_util::Stream<Item = RustlsConfig> + Send + Unpin + 'static {
    let changed = |tls: &crate::config::Tls| {
        [&tls.certificate, &tls.key].map(|path| std::fs::metadata(path).and_then(|meta| meta.modified()).ok())
    };
    let none: [Option<SystemTime>; 2] = [None, None];
    Box::pin(futures_util::stream::unfold((tls, none, true), move |(tls, mut seen, mut first)| async move {
        loop {
            if !std::mem::take(&mut first) {
                tokio::time::sleep(CERTIFICATE_EVERY).await;
            }
            let now = changed(&tls);
            if now == seen {
                continue;
            }
            match rustls_config(&tls) {
                Ok(config) => {
                    seen = now;
                    return Some((config, (tls, seen, false)));
                }
                Err(error) => tracing::warn!(%error, "the new certificate cannot be used; the old one goes on"),
            }
        }
    }))
}

fn start_log(format: LogFormat) {
    let filter = tracing_subscriber::EnvFilter::try_from_env("FLOWTEST_DASHBOARD_LOG")
        .unwrap_or_else(|_| tracing_subscriber::EnvFilter::new("warn,flowtest_dashboard=info"));
    let log = tracing_subscriber::fmt().with_env_filter(filter).with_writer(std::io::stderr);
    // A second start in one process (tests) keeps the first log.
    let _ = match format {
        LogFormat::Text => log.with_ansi(std::io::IsTerminal::is_terminal(&std::io::stderr())).try_init(),
        LogFormat::Json => log.json().try_init(),
    };
}

/// Counts from now on. Without anybody to read them nothing is counted at all.
fn start_metrics() -> PrometheusHandle {
    let recorder = PrometheusBuilder::new().build_recorder();
    let handle = recorder.handle();
    let _ = metrics::set_global_recorder(recorder);
    metrics::gauge!("flowtest_build_info", "version" => env!("CARGO_PKG_VERSION")).set(1.0);
    let tidied = handle.clone();
    tokio::spawn(async move {
        // Until then each duration is kept by itself, and nobody may ever come to read them.
        let mut every = tokio::time::interval(METRICS_TIDY_EVERY);
        loop {
            every.tick().await;
            tidied.run_upkeep();
        }
    });
    handle
}

/// Counters on an address of their own, so that no proxy shows them to the world by accident.
async fn serve_metrics(
    address: std::net::SocketAddr,
    metrics: PrometheusHandle,
) -> Result<ServerHandle, Box<dyn Error>> {
    let acceptor = TcpListener::new(address).try_bind().await.map_err(|error| taken(address, &error))?;
    println!("flowtest-dashboard: metrics http://{}/metrics", acceptor.local_addr()?);
    let router = Router::with_path("/metrics").get(Metrics(metrics));
    let server = Server::new(acceptor).max_connections(64);
    let handle = server.handle();
    tokio::spawn(server.serve(router));
    Ok(handle)
}

struct Metrics(PrometheusHandle);

#[async_trait]
impl Handler for Metrics {
    async fn handle(&self, _req: &mut Request, _depot: &mut Depot, res: &mut Response, _ctrl: &mut FlowCtrl) {
        res.render(Text::Plain(self.0.render()));
    }
}
