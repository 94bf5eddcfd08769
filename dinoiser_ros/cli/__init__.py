"""The command line `dinoiser`: `main` has its subcommands, `arguments` what they share."""
