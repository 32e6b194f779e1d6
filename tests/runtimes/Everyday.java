// What an ordinary Java program does: each word printed is a thing that worked.
import java.io.*;
import java.net.*;
import java.net.http.*;
import java.nio.channels.*;
import java.nio.file.*;
import java.security.*;
import java.util.*;
import java.util.concurrent.*;
import javax.net.ssl.SSLContext;

public class Everyday {
    static final List<String> done = new ArrayList<>();

    public static void main(String[] args) throws Exception {
        int port = Integer.parseInt(args[0]);
        Path data = Path.of(args[1]);
        ExecutorService pool = Executors.newFixedThreadPool(4);
        if (pool.submit(() -> 1).get() == 1) done.add("threads");
        pool.shutdown();
        Path file = data.resolve("java.txt");
        Files.writeString(file, "x");
        Files.move(file, data.resolve("moved.txt"), StandardCopyOption.ATOMIC_MOVE);
        try (FileChannel channel = FileChannel.open(data.resolve("moved.txt"), StandardOpenOption.READ, StandardOpenOption.WRITE)) {
            channel.map(FileChannel.MapMode.READ_WRITE, 0, 4096).put((byte) 1);
            channel.lock().release();
        }
        done.add("files");
        try (Socket socket = new Socket("127.0.0.1", port)) {
            socket.getOutputStream().write("ping\n".getBytes());
            if (new BufferedReader(new InputStreamReader(socket.getInputStream())).readLine().equals("ping")) done.add("net");
        }
        try (Selector selector = Selector.open(); SocketChannel channel = SocketChannel.open(new InetSocketAddress("127.0.0.1", port))) {
            channel.configureBlocking(false);
            channel.register(selector, SelectionKey.OP_WRITE);
            if (selector.select(5000) == 1) done.add("nio");
        }
        HttpClient.newHttpClient();
        InetAddress.getByName("localhost");
        done.add("names");
        MessageDigest.getInstance("SHA-256").digest(new byte[0]);
        new SecureRandom().nextInt();
        SSLContext.getDefault();
        done.add("crypto");
        // Hot enough to be compiled while it runs.
        long sum = 0;
        for (int i = 0; i < 3_000_000; i++) sum += Integer.toString(i).hashCode();
        System.gc();
        if (sum != 0) done.add("jit");
        if (new ProcessBuilder("true").start().waitFor() == 0) done.add("children");
        System.out.println(String.join(" | ", done));
    }
}
