# SPDX-License-Identifier: Apache-2.0
# pixi.toml has this run in each of its shells: what `pixi run build` built is found, once it is there.

if [ -f install/local_setup.sh ]; then
  . install/local_setup.sh
fi
# Here `python3 -m` would otherwise find ./dinoiser_ros before the installed package.
export PYTHONSAFEPATH=1
