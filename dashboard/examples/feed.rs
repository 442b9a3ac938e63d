//! The live feed alone, for the public, called as `flowtest-dashboard serve` is: what `flowtest-bench viewers --dashboard`
//! measures when the pages around it shall not count.

use clap::Parser;
use flowtest_dashboard::live::feed::{Feed, FeedConfig};
use flowtest_dashboard::live::hub::Viewer;
use flowtest_dashboard::live::socket::{Channel, Visit, open};
use flowtest_dashboard::live::{Audience, Facts, Hub, HubConfig};
use flowtest_scoreboard::connection::Address;
use salvo::conn::Acceptor;
use salvo::prelude::*;

#[derive(Parser)]
enum Command {
    Serve {
        #[arg(long, default_value = "127.0.0.1:0")]
        listen: String,
        #[arg(long)]
        redis: String,
        #[arg(long)]
        contest: String,
        /// Nothing is kept.
        #[arg(long)]
        database: Option<String>,
    },
}

struct Door(Hub);

#[async_trait]
impl Handler for Door {
    async fn handle(&self, req: &mut Request, _: &mut Depot, res: &mut Response, _: &mut FlowCtrl) {
        let visit = Visit {
            viewer: Viewer::default(),
            channel: Channel::Standings(Audience::Public),
            public_url: None,
            recheck: Box::new(|| Box::pin(async { true })),
        };
        if let Err(error) = open(&self.0, visit, req, res).await {
            res.render(error);
        }
    }
}

#[tokio::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let Command::Serve { listen, redis, contest, database: _ } = Command::parse();
    let hub = HubConfig { viewers_max: 20_000, ..HubConfig::default() };
    let config = FeedConfig { address: Address::new(&redis, None, false)?, contest, hub, past: Vec::new() };
    let feed = Feed::start(config, Facts::default(), drop)?;
    let acceptor = TcpListener::new(listen).try_bind().await?;
    for holding in acceptor.holdings() {
        println!("listening on {}", holding.local_addr);
    }
    let router = Router::with_path("live").get(Door(feed.hub().clone()));
    Server::new(acceptor).serve(router).await;
    Ok(())
}
