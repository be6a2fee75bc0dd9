// The command init is process 1 of a node's namespaces. It reaps the orphans that containerd's shims leave,
// and it is the door between two networks that share a file system but no interface: a Unix socket bound to a
// path can be reached from either.
//
// A connection to its socket begins with one line:
//
//	dial ADDRESS          connect to a TCP address in here, answer "ok", then relay
//	listen ADDRESS SOCKET listen on a TCP address in here, answer "ok", and relay each connection to the Unix
//	                      socket SOCKET of whoever is outside, for as long as this connection stays open
//
// Where that fails the answer is "error" and the reason, and the connection ends.
package main

import (
	"bufio"
	"fmt"
	"io"
	"net"
	"os"
	"os/signal"
	"strings"
	"syscall"
	"time"
)

// Everything that can be dialled is on this machine: what does not answer at once is not there.
const dialTimeout = 5 * time.Second

func main() {
	if len(os.Args) != 2 {
		fmt.Fprintln(os.Stderr, "usage: init SOCKET")
		os.Exit(2)
	}
	go reap()
	door, err := net.Listen("unix", os.Args[1])
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	for {
		outside, err := door.Accept()
		if err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		go serve(outside.(*net.UnixConn))
	}
}

// The kernel hands every orphan of the namespace to process 1.
func reap() {
	ended := make(chan os.Signal, 1)
	signal.Notify(ended, syscall.SIGCHLD)
	for range ended {
		for {
			pid, err := syscall.Wait4(-1, nil, syscall.WNOHANG, nil)
			if pid <= 0 && err != syscall.EINTR {
				break
			}
		}
	}
}

// A reader that was filled beyond the first line must not be thrown away: what follows belongs to the peer.
type stream struct {
	io.Reader
	*net.UnixConn
}

func (s stream) Read(bytes []byte) (int, error) { return s.Reader.Read(bytes) }

func serve(outside *net.UnixConn) {
	defer outside.Close()
	reader := bufio.NewReader(outside)
	line, err := reader.ReadString('\n')
	if err != nil {
		return
	}
	words := strings.Fields(line)
	switch {
	case len(words) == 2 && words[0] == "dial":
		err = dial(stream{reader, outside}, words[1])
	case len(words) == 3 && words[0] == "listen":
		err = listen(outside, words[1], words[2])
	default:
		err = fmt.Errorf("unknown order %q", line)
	}
	if err != nil {
		fmt.Fprintf(outside, "error %v\n", err)
	}
}

func dial(outside stream, address string) error {
	inside, err := net.DialTimeout("tcp", address, dialTimeout)
	if err != nil {
		return err
	}
	defer inside.Close()
	if _, err := io.WriteString(outside.UnixConn, "ok\n"); err != nil {
		return nil
	}
	relay(outside, inside.(*net.TCPConn))
	return nil
}

func listen(outside *net.UnixConn, address, socket string) error {
	listener, err := net.Listen("tcp", address)
	if err != nil {
		return err
	}
	defer listener.Close()
	if _, err := io.WriteString(outside, "ok\n"); err != nil {
		return nil
	}
	go func() {
		for {
			inside, err := listener.Accept()
			if err != nil {
				return
			}
			go out(inside.(*net.TCPConn), socket)
		}
	}()
	// Nothing more is said on this connection: its end ends the listener.
	io.Copy(io.Discard, outside)
	return nil
}

func out(inside *net.TCPConn, socket string) {
	defer inside.Close()
	peer, err := net.Dial("unix", socket)
	if err != nil {
		return
	}
	defer peer.Close()
	relay(peer.(*net.UnixConn), inside)
}

type halves interface {
	io.ReadWriter
	CloseWrite() error
}

// Copies both ways until both have ended; the end of one direction is passed on.
func relay(one, other halves) {
	done := make(chan struct{})
	go func() {
		io.Copy(one, other)
		one.CloseWrite()
		close(done)
	}()
	io.Copy(other, one)
	other.CloseWrite()
	<-done
}
