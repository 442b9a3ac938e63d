//! What to do about each kind of failure: the same words beside an explained failure and on the rules page.

/// The cause to look for first, and the next step.
#[derive(Clone, Copy, Debug)]
pub struct Advice {
    /// As in the tally.
    pub kind: &'static str,
    pub title: &'static str,
    pub text: &'static str,
}

/// Every kind that costs points, in the order of the tally.
pub const ALL: [Advice; 10] = [
    Advice {
        kind: "token",
        title: "Token wrong",
        text: "Copy the request's Token header into the answer of that request, exactly once and unchanged. A cache or a \
               value kept between requests gives the token of somebody else.",
    },
    Advice {
        kind: "version",
        title: "Version wrong",
        text: "Send Version: v1 before its deadline and Version: v2 after it, on every instance. One instance that was \
               not updated is enough to lose points.",
    },
    Advice {
        kind: "from",
        title: "From wrong",
        text: "Send From: EC2 before its deadline and From: ECS after it. After the move, take the old instances out of \
               the balancer or out of DNS.",
    },
    Advice {
        kind: "timeout",
        title: "No answer in time",
        text: "The request reached you and no whole answer came back. Look for a full worker pool, a slow call before \
               the answer, or an answer without Content-Length on a connection that stays open.",
    },
    Advice {
        kind: "refused",
        title: "Connection refused",
        text: "Nobody listens at this address and port, or a firewall says no. Check that the process runs, listens on \
               0.0.0.0, and that the security group lets the generators' addresses in.",
    },
    Advice {
        kind: "reset",
        title: "Connection reset",
        text: "Your side closed the connection before the answer was whole. Look for crashes, restarts, limits on \
               connections and short idle timeouts of a proxy.",
    },
    Advice {
        kind: "malformed",
        title: "Answer malformed",
        text: "The bytes are no valid HTTP/1.1 response, or a scored header came twice, or head or body are over their \
               limit (8 KiB and 64 KiB).",
    },
    Advice {
        kind: "status",
        title: "Status is not 2xx",
        text: "Only 200 to 299 count. Redirects are not followed: register the address that answers by itself.",
    },
    Advice {
        kind: "tls",
        title: "TLS failed",
        text: "No connection over TLS could be made. The certificate must be in date, for the host of your endpoint, and \
               signed by an authority that browsers trust, with the whole chain sent. The server must speak TLS 1.2 or \
               1.3 and HTTP/1.1.",
    },
    Advice {
        kind: "missed",
        title: "Not sent",
        text: "Requests fell due and could not be sent: all your connections were busy, or your server was not admitted. \
               Let Test now show right answers; then answer faster or add instances; where the distance is said to be \
               the cause, move the server nearer, or ask the organisers for more connections.",
    },
];

/// Where a contest asks whose server it is. It costs no points by itself: nothing is sent to a server that does not say it.
pub const TEAM: Advice = Advice {
    kind: "team",
    title: "Team wrong or missing",
    text: "Send Team with your login name in every answer, on every instance, exactly once. Another name means that your address \
           leads to somebody else's server: look where your name points.",
};

pub fn of(kind: &str) -> Option<Advice> {
    ALL.into_iter().chain([TEAM]).find(|advice| advice.kind == kind)
}
