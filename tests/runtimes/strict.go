// What a Go program does under the strict profile, and what it cannot.
package main

import (
	"bufio"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"sync"
	"syscall"
)

func must(err error) {
	if err != nil {
		fmt.Println(err)
		os.Exit(1)
	}
}

func main() {
	var group sync.WaitGroup
	for range 8 {
		group.Add(1)
		go group.Done()
	}
	group.Wait()
	fmt.Print("goroutines")
	must(os.WriteFile(filepath.Join(os.Args[2], "go.txt"), []byte("x"), 0o600))
	fmt.Print(" | files")
	conn, err := net.Dial("tcp", "127.0.0.1:"+os.Args[1])
	must(err)
	fmt.Fprintln(conn, "ping")
	_, err = bufio.NewReader(conn).ReadString('\n')
	must(err)
	fmt.Print(" | net")
	if exec.Command("/bin/true").Run() != nil {
		fmt.Print(" | no program")
	}
	if _, err := syscall.Mmap(-1, 0, 4096, syscall.PROT_WRITE|syscall.PROT_EXEC, syscall.MAP_ANON|syscall.MAP_PRIVATE); err != nil {
		fmt.Print(" | no code")
	}
	fmt.Println()
}
