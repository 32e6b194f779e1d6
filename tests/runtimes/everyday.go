// What an ordinary Go program does: each word printed is a thing that worked.
package main

import (
	"bufio"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"sync"
)

func must(err error) {
	if err != nil {
		panic(err)
	}
}

func main() {
	var group sync.WaitGroup
	for i := 0; i < 64; i++ {
		group.Add(1)
		go func() { runtime.Gosched(); group.Done() }()
	}
	group.Wait()
	fmt.Print("goroutines")
	must(os.WriteFile(filepath.Join(os.Args[2], "go.txt"), []byte("x"), 0o600))
	fmt.Print(" | files")
	conn, err := net.Dial("tcp", "127.0.0.1:"+os.Args[1])
	must(err)
	fmt.Fprintln(conn, "ping")
	line, err := bufio.NewReader(conn).ReadString('\n')
	must(err)
	if line != "ping\n" {
		panic(line)
	}
	fmt.Print(" | net")
	must(exec.Command("true").Run())
	fmt.Println(" | children")
}
