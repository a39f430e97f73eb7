# The addon for machines without a compiler: prebuilds/<platform>-<arch>/entrofleet.node, for x64
# and arm64. It runs with every glibc from GLIBC_FLOOR on (Debian 11, Ubuntu 20.04) and brings its
# own libstdc++; libgcc_s is there wherever Node is, which needs it too.
GLIBC_FLOOR := 2.31
# The oldest version that glibc's symbols have on these machines.
GLIBC_BASE_x64 := 2.2.5
GLIBC_BASE_arm64 := 2.17
# glibc 2.34 moved these from libpthread to libc under a new version; the old one is still the same
# function. A library beside the real libc offers only the old version to the linker.
MOVED := pthread_create pthread_detach pthread_join pthread_once pthread_key_create \
  __pthread_key_create pthread_key_delete pthread_getspecific pthread_setspecific \
  pthread_setaffinity_np pthread_getaffinity_np pthread_sigmask sem_init sem_post sem_wait \
  sem_destroy

PREBUILT := prebuilds/linux-$(TARGET_ARCH)/entrofleet.node
OLDER_LIBC := $(OUT)/prebuild/libc.so.6

$(OLDER_LIBC): prebuild/rules.mk
	@mkdir -p $(dir $@)
	echo 'GLIBC_$(GLIBC_BASE_$(TARGET_ARCH)) { global: $(MOVED:%=%;) };' >$(@:.6=.map)
	echo '$(foreach name,$(MOVED),void $(name)(void) {})' | $(CXX) -x c -shared -fPIC -nostdlib \
	  -Wl,-soname,libc.so.6 -Wl,--version-script=$(@:.6=.map) -o $@ -

# libstdc++ stands before OLDER_LIBC, which must come after all that takes symbols from it.
$(PREBUILT): $(OBJECTS) $(OUT)/prebuild/newer_glibc.o $(OLDER_LIBC) prebuild/exports.map
	@mkdir -p $(dir $@)
	$(CXX) -shared -pthread -static-libstdc++ -shared-libgcc -s \
	  -Wl,--version-script=prebuild/exports.map -Wl,--gc-sections -o $@.partial \
	  $(filter %.o,$^) -Wl,-Bstatic -lstdc++ -Wl,-Bdynamic $(OLDER_LIBC)
	OBJDUMP=$(patsubst %g++,%objdump,$(CXX)) sh prebuild/check_glibc.sh $@.partial $(GLIBC_FLOOR)
	mv $@.partial $@

.PHONY: prebuild-one prebuild
prebuild-one: $(PREBUILT)

prebuild:
	$(MAKE) TARGET_ARCH=x64 CXX=$(if $(filter x86_64,$(shell uname -m)),g++,x86_64-linux-gnu-g++) \
	  prebuild-one
	$(MAKE) TARGET_ARCH=arm64 CXX=$(if $(filter aarch64,$(shell uname -m)),g++,aarch64-linux-gnu-g++) \
	  prebuild-one
