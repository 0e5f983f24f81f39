import java.io.IOException;
import java.io.PrintStream;
import java.io.UncheckedIOException;
import java.lang.reflect.Method;
import java.net.BindException;
import java.nio.file.Files;
import java.nio.file.NoSuchFileException;
import java.nio.file.Path;
import java.nio.file.attribute.BasicFileAttributes;
import java.util.Arrays;
import java.util.List;
import java.util.Map;
import java.util.Objects;
import java.util.Set;
import java.util.concurrent.CountDownLatch;
import java.util.concurrent.Executors;
import java.util.concurrent.TimeUnit;
import java.util.stream.Collectors;
import java.util.stream.Stream;

import org.elasticsearch.common.logging.LogConfigurator;
import org.elasticsearch.common.settings.KeyStoreWrapper;
import org.elasticsearch.common.settings.SecureString;
import org.elasticsearch.common.settings.Settings;
import org.elasticsearch.env.Environment;
import org.elasticsearch.nativeaccess.NativeAccess;
import org.elasticsearch.node.InternalSettingsPreparer;
import org.elasticsearch.node.Node;
import org.elasticsearch.plugins.PluginBundle;
import org.elasticsearch.plugins.PluginsLoader;

/**
 * One Elasticsearch node for development, started from the jars on Maven Central. The distribution's own launcher is not
 * published there; this does what it does, without the security manager and the entitlements.
 *
 * <p>Arguments: the home folder (lib, modules), the node's config folder, and optionally the id of the process that owns
 * the node. The settings are in {@code elasticsearch.yml} of the config folder.
 *
 * <p>Nobody has to remember to stop it. It ends when
 * <ul>
 *   <li>the launcher dies before it wrote down this process (the line on standard input never comes);
 *   <li>the owner ends, however it ends;
 *   <li>its {@code elasticsearch.yml} is deleted or replaced: the folder was cleaned, or another node is about to use it.
 * </ul>
 */
public final class DevNode {
    /** The exit status when another process has a port of this node. */
    private static final int PORT_TAKEN = 98;
    private static final long WATCH_SECONDS = 1;
    private static final long CLOSE_SECONDS = 20;
    /** Holds the password of the user `elastic`, in the config folder of a node with security. */
    private static final String PASSWORD_FILE = "bootstrap.password";
    /** Standard output as it was before the server sent it through its own log. */
    private static final PrintStream OUT = System.out;

    private DevNode() {}

    public static void main(String[] arguments) throws Exception {
        Path home = Path.of(arguments[0]);
        Path config = Path.of(arguments[1]);
        Object licence = identity(config.resolve("elasticsearch.yml"));
        if (System.in.read() < 0) {
            return;
        }
        if (arguments.length > 2) {
            stopWithOwner(Long.parseLong(arguments[2]));
        }
        stopWithLicence(config.resolve("elasticsearch.yml"), licence);
        try {
            start(home, config);
        } catch (Throwable failure) {
            fail(failure);
        }
        new CountDownLatch(1).await(); // the server's own threads are daemons
    }

    private static void start(Path home, Path config) throws Exception {
        LogConfigurator.registerErrorListener();
        Settings.Builder settings = Settings.builder().put("path.home", home.toString());
        if (Files.exists(config.resolve(PASSWORD_FILE))) {
            settings.setSecureSettings(keystore(config));
        }
        Environment environment = InternalSettingsPreparer.prepareEnvironment(settings.build(), Map.of(), config, () -> "node");
        LogConfigurator.setNodeName(Node.NODE_NAME_SETTING.get(environment.settings()));
        LogConfigurator.configure(environment, true);
        NativeAccess.instance();

        PluginsLoader plugins =
            PluginsLoader.createPluginsLoader(modules(home.resolve("modules")), Set.of(), Map.of(), false);
        Node node = new Node(environment, plugins);
        Runtime.getRuntime().addShutdownHook(new Thread(() -> close(node), "close"));
        node.start();
    }

    /** The modules in a folder. The method that finds them got a second parameter in version 9.5. */
    @SuppressWarnings("unchecked")
    private static Set<PluginBundle> modules(Path folder) throws ReflectiveOperationException {
        Method method = Arrays.stream(PluginsLoader.class.getMethods())
            .filter(candidate -> candidate.getName().equals("loadModulesBundles"))
            .findFirst()
            .orElseThrow(() -> new NoSuchMethodException("PluginsLoader.loadModulesBundles"));
        Object[] arguments = method.getParameterCount() == 1 ? new Object[] { folder } : new Object[] { folder, false };
        return (Set<PluginBundle>) method.invoke(null, arguments);
    }

    /** The node's keystore with the password of the user `elastic`. No password guards the keystore itself. */
    private static KeyStoreWrapper keystore(Path config) throws Exception {
        KeyStoreWrapper keystore = KeyStoreWrapper.bootstrap(config, () -> new SecureString(new char[0]));
        if (!keystore.getSettingNames().contains("bootstrap.password")) {
            keystore.setString("bootstrap.password", Files.readString(config.resolve(PASSWORD_FILE)).trim().toCharArray());
            keystore.save(config, new char[0]);
        }
        return keystore;
    }

    /** Ends the process if closing hangs: whoever stops a node counts on it. */
    private static void close(Node node) {
        Thread deadline = new Thread(() -> {
            try {
                TimeUnit.SECONDS.sleep(CLOSE_SECONDS);
            } catch (InterruptedException e) {
                Thread.currentThread().interrupt();
            }
            Runtime.getRuntime().halt(1);
        }, "close-deadline");
        deadline.setDaemon(true);
        deadline.start();
        try {
            node.close();
        } catch (IOException e) {
            throw new UncheckedIOException(e);
        }
    }

    private static void stopWithOwner(long pid) {
        ProcessHandle.of(pid).ifPresentOrElse(
            owner -> owner.onExit().thenRun(() -> stop("its owner, process " + pid + ", ended")),
            () -> stop("its owner, process " + pid + ", does not exist")
        );
    }

    private static void stopWithLicence(Path file, Object licence) {
        Executors.newSingleThreadScheduledExecutor(task -> {
            Thread thread = new Thread(task, "licence");
            thread.setDaemon(true);
            return thread;
        }).scheduleWithFixedDelay(() -> {
            if (!licence.equals(identity(file))) {
                stop(file + " was deleted or replaced");
            }
        }, WATCH_SECONDS, WATCH_SECONDS, TimeUnit.SECONDS);
    }

    /** What tells a file from another one put in its place. */
    private static List<Object> identity(Path file) {
        try {
            BasicFileAttributes attributes = Files.readAttributes(file, BasicFileAttributes.class);
            return List.of(String.valueOf(attributes.fileKey()), attributes.lastModifiedTime());
        } catch (NoSuchFileException e) {
            return List.of();
        } catch (IOException e) {
            throw new UncheckedIOException(e);
        }
    }

    private static void stop(String reason) {
        say("stopping: " + reason);
        System.exit(0);
    }

    private static void fail(Throwable failure) {
        failure.printStackTrace(OUT);
        List<Throwable> causes = Stream.iterate(failure, Objects::nonNull, Throwable::getCause).toList();
        say(causes.stream().map(Throwable::toString).collect(Collectors.joining(": ")));
        System.exit(causes.stream().anyMatch(BindException.class::isInstance) ? PORT_TAKEN : 1);
    }

    /** A line that the launcher shows to its user. */
    private static void say(String line) {
        OUT.println("DevNode: " + line);
    }
}
