# Models made by `edgeai build` as targets of GNU make.
#
#   EDGEAI_OUTPUTS := build/digits/pi/digits.edge
#   include edgeai.mk
#   app: main.o build/digits/pi/digits.edge
#
# `make edgeai` builds; the files in EDGEAI_OUTPUTS can be prerequisites. edgeai is always asked, knows what is up to
# date, and touches only files that changed, so that nothing else is made again in vain. A broken gate fails make.

EDGEAI ?= edgeai
EDGEAI_CONFIG ?= edgeai.toml
EDGEAI_FLAGS ?= --locked
EDGEAI_OUTPUTS ?=

.PHONY: edgeai
edgeai:
	$(EDGEAI) build $(EDGEAI_CONFIG) $(EDGEAI_FLAGS)

$(EDGEAI_OUTPUTS): edgeai ;
