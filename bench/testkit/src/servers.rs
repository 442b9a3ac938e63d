//! Servers of other makes over TLS, each answering as a contestant must: its token back, version and platform.

use crate::child::Child;
use crate::skipped::not_played;
use crate::wait::WAIT_MAX;
use std::net::{TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Instant;

/// Who made the server.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Make {
    Nginx,
    Haproxy,
    Node,
    Python,
    Go,
}

impl Make {
    pub const ALL: [Make; 5] = [Make::Nginx, Make::Haproxy, Make::Node, Make::Python, Make::Go];

    pub fn name(self) -> &'static str {
        match self {
            Make::Nginx => "nginx",
            Make::Haproxy => "haproxy",
            Make::Node => "node",
            Make::Python => "python3",
            Make::Go => "go",
        }
    }

    /// Starts one on a free port of 127.0.0.1 that shows this certificate by this key, both PEM; its files go into `folder`.
    /// `None`, and a word about it, where there is none on this machine.
    #[track_caller]
    pub fn start(self, folder: &Path, certificate: &Path, key: &Path) -> Option<OtherServer> {
        let Some(program) = self.program() else {
            not_played(format_args!("{} is not here", self.name()));
            return None;
        };
        let port = TcpListener::bind("127.0.0.1:0").expect("a free port").local_addr().expect("it has one").port();
        let folder = folder.join(format!("{}-{port}", self.name()));
        std::fs::create_dir(&folder).expect("a folder of its own");
        let shown = Shown { folder: &folder, certificate, key, port };
        let mut command = Command::new(&program);
        match self {
            Make::Nginx => command.args(["-c", &shown.nginx(), "-p", &shown.text("")]),
            Make::Haproxy => command.args(["-db", "-f", &shown.haproxy()]),
            Make::Node => command.args(["-e", &shown.node()]),
            Make::Python => command.args(["-c", &shown.python()]),
            Make::Go => {
                command = Command::new(shown.go(&program));
                &mut command
            }
        };
        let mut child = Child::start(&command);
        let begun = Instant::now();
        while TcpStream::connect(("127.0.0.1", port)).is_err() {
            if !child.is_running() || begun.elapsed() > WAIT_MAX {
                child.kill();
                panic!("{} does not listen: {}", self.name(), child.complaints());
            }
            std::thread::sleep(std::time::Duration::from_millis(20));
        }
        Some(OtherServer { port, _child: child })
    }

    fn program(self) -> Option<PathBuf> {
        let path = std::env::var_os("PATH")?;
        let folders = std::env::split_paths(&path).chain(["/usr/sbin".into(), "/usr/local/go/bin".into()]);
        folders.map(|folder| folder.join(self.name())).find(|path| path.exists())
    }
}

/// Ended when dropped.
#[derive(Debug)]
pub struct OtherServer {
    pub port: u16,
    _child: Child,
}

/// What a server shows, and where.
struct Shown<'a> {
    folder: &'a Path,
    certificate: &'a Path,
    key: &'a Path,
    port: u16,
}

impl Shown<'_> {
    fn text(&self, name: &str) -> String {
        self.folder.join(name).display().to_string()
    }

    fn write(&self, name: &str, text: &str) -> String {
        std::fs::write(self.folder.join(name), text).expect("written");
        self.text(name)
    }

    fn nginx(&self) -> String {
        let (folder, port) = (self.folder.display(), self.port);
        let (certificate, key) = (self.certificate.display(), self.key.display());
        let text = format!(
            "daemon off; master_process off; pid {folder}/pid; error_log {folder}/error.log;\n\
             events {{ worker_connections 256; }}\n\
             http {{ access_log off; keepalive_requests 100;\n\
               client_body_temp_path {folder}/b; proxy_temp_path {folder}/p; fastcgi_temp_path {folder}/f;\n\
               uwsgi_temp_path {folder}/u; scgi_temp_path {folder}/s;\n\
               server {{ listen 127.0.0.1:{port} ssl; ssl_certificate {certificate}; ssl_certificate_key {key};\n\
                 location / {{ add_header Token $http_token; add_header Version v2; add_header From ECS;\n\
                   return 200 'hello'; }} }} }}\n"
        );
        self.write("nginx.conf", &text)
    }

    fn haproxy(&self) -> String {
        let read = |path: &Path| std::fs::read_to_string(path).expect("it was made");
        let both = self.write("both.pem", &(read(self.certificate) + &read(self.key)));
        let text = format!(
            "global\n  nbthread 1\ndefaults\n  mode http\n  timeout connect 5s\n  timeout client 30s\n  timeout server 30s\n\
             frontend team\n  bind 127.0.0.1:{} ssl crt {both} alpn http/1.1\n\
             \x20 http-request return status 200 content-type text/plain string hello \
             hdr Token %[req.hdr(token)] hdr Version v2 hdr From ECS\n",
            self.port
        );
        self.write("haproxy.cfg", &text)
    }

    fn node(&self) -> String {
        format!(
            "const fs=require('fs');\
             require('https').createServer({{cert:fs.readFileSync({:?}),key:fs.readFileSync({:?})}},(q,s)=>{{\
             s.setHeader('Token',q.headers.token||'');s.setHeader('Version','v2');s.setHeader('From','ECS');s.end('hello')}}\
             ).listen({},'127.0.0.1')",
            self.certificate, self.key, self.port
        )
    }

    fn python(&self) -> String {
        format!(
            "import ssl\nfrom http.server import *\n\
             class Handler(BaseHTTPRequestHandler):\n\
             \x20   protocol_version='HTTP/1.1'\n\
             \x20   disable_nagle_algorithm=True # head and body are two writes: each answer would wait for an acknowledgement\n\
             \x20   def do_GET(self):\n\
             \x20       self.send_response(200)\n\
             \x20       for name,value in (('Token',self.headers['Token']),('Version','v2'),('From','ECS'),('Content-Length','5')):\n\
             \x20           self.send_header(name,value)\n\
             \x20       self.end_headers()\n\
             \x20       self.wfile.write(b'hello')\n\
             \x20   def log_message(self,*_): pass\n\
             server=ThreadingHTTPServer(('127.0.0.1',{}),Handler)\n\
             context=ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)\n\
             context.load_cert_chain({:?},{:?})\n\
             server.socket=context.wrap_socket(server.socket,server_side=True,do_handshake_on_connect=False)\n\
             server.serve_forever()\n",
            self.port, self.certificate, self.key
        )
    }

    /// The server itself: whoever ends `go run` leaves what it has built running.
    fn go(&self, go: &Path) -> String {
        let text = format!(
            "package main\nimport \"net/http\"\nfunc main() {{\n\
             \thttp.HandleFunc(\"/\", func(w http.ResponseWriter, r *http.Request) {{\n\
             \t\tw.Header().Set(\"Token\", r.Header.Get(\"Token\"))\n\
             \t\tw.Header().Set(\"Version\", \"v2\")\n\t\tw.Header().Set(\"From\", \"ECS\")\n\
             \t\tw.Write([]byte(\"hello\"))\n\t}})\n\
             \tpanic(http.ListenAndServeTLS(\"127.0.0.1:{}\", {:?}, {:?}, nil))\n}}\n",
            self.port, self.certificate, self.key
        );
        let (source, server) = (self.write("main.go", &text), self.text("server"));
        let mut command = Command::new(go);
        command.env("GOCACHE", self.folder.join("cache")).env("GO111MODULE", "off").env("GOFLAGS", "");
        crate::run(command.args(["build", "-o", &server, &source])).exits(0);
        server
    }
}
