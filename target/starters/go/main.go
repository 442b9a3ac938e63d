package main

import (
	"log"
	"net"
	"net/http"
	"os"
	"time"
)

func setting(name, usual string) string {
	if value := os.Getenv(name); value != "" {
		return value
	}
	return usual
}

func main() {
	version := setting("VERSION", "v1")
	from := setting("FROM", "EC2")
	// Your login name, where the contest asks whose server it is.
	team := os.Getenv("TEAM")
	http.HandleFunc("/healthz", func(http.ResponseWriter, *http.Request) {})
	http.HandleFunc("/", func(answer http.ResponseWriter, request *http.Request) {
		head := answer.Header()
		// The token of this request: a variable outside would answer with somebody else's.
		head.Set("Token", request.Header.Get("Token"))
		head.Set("Version", version)
		head.Set("From", from)
		if team != "" {
			head.Set("Team", team)
		}
	})
	listener, err := net.Listen("tcp", "0.0.0.0:"+setting("PORT", "8080"))
	if err != nil {
		log.Fatal(err)
	}
	log.Println("listening on", listener.Addr().(*net.TCPAddr).Port)
	server := http.Server{ReadHeaderTimeout: 10 * time.Second, IdleTimeout: 75 * time.Second}
	log.Fatal(server.Serve(listener))
}
