package main

import (
	"cmp"
	"log"
	"net"
	"net/http"
	"os"
	"time"
)

func main() {
	version := cmp.Or(os.Getenv("VERSION"), "v1")
	from := cmp.Or(os.Getenv("FROM"), "EC2")
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
	listener, err := net.Listen("tcp", "0.0.0.0:"+cmp.Or(os.Getenv("PORT"), "8080"))
	if err != nil {
		log.Fatal(err)
	}
	log.Println("listening on", listener.Addr().(*net.TCPAddr).Port)
	server := http.Server{ReadHeaderTimeout: 10 * time.Second, IdleTimeout: 75 * time.Second}
	log.Fatal(server.Serve(listener))
}
