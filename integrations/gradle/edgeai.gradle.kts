// Models made by `edgeai build` before an Android app (or anything with a task `preBuild`) is built.
//
//     apply(from = "edgeai.gradle.kts")                                      // in build.gradle.kts of the app
//     android { sourceSets["main"].assets.srcDir("models/digits/phone") }    // the target's output folder
//
// with `output = "models"` under [project] in edgeai.toml: `build` is Gradle's own folder, and `clean` empties it.
// Gradle 8 or newer.
//
// Properties, in gradle.properties or by -P:
//     edgeai.command   the program; default: edgeai
//     edgeai.config    default: edgeai.toml beside the build file
//     edgeai.only      model or model/target
//     edgeai.locked    default: true: replay edgeai.lock, never search
//
// The task is always run: edgeai knows what is up to date, and touches only files that changed. A broken gate fails it.

fun setting(name: String, default: String): String =
    providers.gradleProperty("edgeai.$name").getOrElse(default)

val edgeaiBuild = tasks.register<Exec>("edgeaiBuild") {
    group = "build"
    description = "Makes the models that edgeai.toml asks for, and judges their gates."
    workingDir = projectDir
    commandLine(
        buildList {
            add(setting("command", "edgeai"))
            add("build")
            add(setting("config", "edgeai.toml"))
            if (setting("locked", "true").toBoolean()) add("--locked")
            val only = setting("only", "")
            if (only.isNotEmpty()) addAll(listOf("--only", only))
        },
    )
    outputs.upToDateWhen { false }
}

tasks.matching { it.name == "preBuild" }.configureEach { dependsOn(edgeaiBuild) }
