# The page of explanations: its parts as bytes, which report_html.c puts together.
EXPLAIN_SCRIPTS := $(patsubst %,frontends/explain/page_%.js,data table layout graph views main)
EXPLAIN_PAGE := frontends/explain/page.html frontends/explain/page.css
GENERATED_SRC += $(GEN)/explain_page.c
$(GEN)/explain_page.c: $(EXPLAIN_PAGE) $(EXPLAIN_SCRIPTS) frontends/explain/build.mk
	@mkdir -p $(@D)
	@embed() { printf 'const char explain_page_%s[] = {\n' $$1; od -An -v -tx1 | sed 's/ \(..\)/0x\1,/g'; echo '0};'; }; \
	{ embed html < frontends/explain/page.html; embed css < frontends/explain/page.css; \
		cat $(EXPLAIN_SCRIPTS) | embed js; } > $@.new && mv $@.new $@
