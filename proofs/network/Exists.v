(** * Every network has an execution

    - [execution_exists]: of every network whose units read earlier ones, on every image: exact
      arithmetic is one. So what holds of all executions does not hold for want of any;
    - [run], [run_at]: the units computed one after the other, by any arithmetic;
    - [units_finite]: what [always_finite] says of units, without probabilities.

    Rests on Terms.v and Units.v. Executions that round as machines do are in Runs.v. *)

From Coq Require Import Reals Lra Lia List ZArith Permutation.
From Lastbit Require Import Statement Totals binary32.Terms operations.Units.
Import ListNotations.
Open Scope R_scope.

(** ** Exact arithmetic *)

Lemma computes_exactly f a b : computes f (Finite a) (Finite b) (Finite (f a b)).
Proof.
  intros p q [= <-] [= <-]. exists a, b. split; [apply reads_refl|].
  split; [apply reads_refl|apply rounds_exact].
Qed.

Lemma multiplies_exactly c a : multiplies (Finite c) (Finite a) (Finite (c * a)).
Proof.
  intros p q [= <-] [= <-]. exists c, a. split; [apply reads_refl|]. split; [apply reads_refl|].
  split; [apply rounds_exact|intros _; apply shifts_exact].
Qed.

Lemma divides_exactly c a : divides_by (Finite c) (Finite a) (Finite (a / c)).
Proof.
  intros p q [= <-] [= <-] _. exists a. split; [apply reads_refl|].
  split; [apply rounds_exact|intros _; apply shifts_exact].
Qed.

Lemma adds_exactly a b : adds (Finite a) (Finite b) (Finite (a + b)).
Proof.
  intros p q [= <-] [= <-]. exists a, b. split; [apply reads_refl|]. split; [apply reads_refl|].
  split; [apply rounds_exact|]. split; intros ->; f_equal; ring.
Qed.

Lemma quotient_exactly a b : computes_quotient (Finite a) (Finite b) (Finite (a / b)).
Proof. intros p q [= <-] [= <-] _. exists a. split; [apply reads_refl|apply rounds_exact]. Qed.

Lemma term_exactly fs x : sum [(fs, x)] (Finite (exact (fs, x))).
Proof.
  induction fs as [|[c|c] fs IH].
  - replace (exact ([], x)) with x by (unfold exact, constant; cbn; ring). apply sum_number.
    intros p [= <-].
    exists x. split; [apply reads_refl|reflexivity].
  - replace (exact (Times c :: fs, x)) with (c * exact (fs, x)) by (unfold exact, constant; cbn;
      ring).
    exact (sum_times [Times c] [(fs, x)]
      _ _ _ ltac:(discriminate) (folds_number c) IH (multiplies_exactly c _)).
  - replace (exact (Over c :: fs, x)) with (exact (fs, x) / c) by (unfold exact, constant, Rdiv;
      cbn; ring).
    exact (sum_over [c] [(fs, x)]
      _ _ _ ltac:(discriminate) (folds_number c) IH (divides_exactly c _)).
Qed.

Lemma sum_exactly l : sum l (Finite (exact_sum l)).
Proof.
  induction l as [|[fs x] l IH]; [apply sum_zeros; constructor|].
  exact (sum_adds [(fs, x)] l _ _ _ (term_exactly fs x) IH (adds_exactly _ _)).
Qed.

Lemma within_nothing (a c : R) : 0 <= c -> Rabs (a - a) <= c.
Proof. now rewrite Rminus_diag_eq, Rabs_R0 by reflexivity. Qed.

(** Where an operand overflowed nothing is asked, so that what is computed from 0 in its place will
    do. *)
Definition real_part (a : value) : R := match a with Finite r => r | Overflow => 0 end.

Lemma performs_exactly o v x : performs o v x (Finite (ideal o v (fun j => real_part (x j)))).
Proof.
  assert (He := eta_pos). assert (Hu := u_pos).
  destruct o as [p|ws bs|j|j|i j]; cbn [performs ideal].
  - reflexivity.
  - intros s Hs. replace (terms ws bs s) with (terms ws bs (fun j =>
      real_part (x j))); [apply sum_exactly|]. unfold terms. f_equal.
    apply map_ext_in. intros w Hw. f_equal. now rewrite (Hs (snd w) (in_map snd _ _ Hw)).
  - intros z E. rewrite E. exists (sigmoid z). split; [reflexivity|].
    repeat split; intros; apply within_nothing; lra.
  - intros z E. rewrite E. exists (silu z). split; [reflexivity|].
    assert (0 <= u * Rabs z) by (apply Rmult_le_pos; [lra|apply Rabs_pos]).
    repeat split; intros; apply within_nothing; lra.
  - intros a b Ea Eb. rewrite Ea, Eb. cbn [real_part].
    exact (computes_exactly Rmult a b a b eq_refl eq_refl).
Qed.

(** ** All units, one after the other *)

Lemma ideal_ext o v r r' : (forall j, In j (operands o) -> r j = r' j) ->
  ideal o v r = ideal o v r'.
Proof.
  destruct o as [p|ws bs|j|j|i j]; cbn [operands ideal]; intros H;
    try (rewrite ?H by (simpl; auto); reflexivity).
  f_equal. unfold terms. f_equal. apply map_ext_in. intros w Hw. now rewrite H by now apply in_map.
Qed.

Definition earlier (us : list operation) : Prop :=
  forall k o, nth_error us k = Some o -> forall j, In j (operands o) -> (j < k)%nat.

Section Run.
Variables (A : Type) (blank : A) (f : operation -> (nat -> A) -> A).
Hypothesis f_ext : forall o r r', (forall j, In j (operands o) -> r j = r' j) -> f o r = f o r'.

(** The units [us], after those that [init] holds. *)
Definition run (init : list A) (us : list operation) : list A :=
  fold_left (fun acc o => acc ++ [f o (fun j => nth j acc blank)]) us init.

Variable init : list A.
Let m : nat := length init.

Lemma run_snoc us o : run init (us ++ [o]) = run init us ++ [f o (fun j =>
  nth j (run init us) blank)].
Proof. unfold run. now rewrite fold_left_app. Qed.

Lemma run_length us : length (run init us) = (m + length us)%nat.
Proof.
  induction us as [|o us IH] using rev_ind; [cbn; unfold m; lia|].
  rewrite run_snoc, !length_app, IH. cbn [length]. lia.
Qed.

Lemma run_init us k : (k < m)%nat -> nth k (run init us) blank = nth k init blank.
Proof.
  intros H. induction us as [|o us IH] using rev_ind; [reflexivity|].
  rewrite run_snoc, app_nth1; [exact IH|].
  rewrite run_length. lia.
Qed.

Lemma run_at us : (forall k o, nth_error us k = Some o -> forall j, In j (operands o) ->
  (j < m + k)%nat) ->
  forall k o, nth_error us k = Some o -> nth (m + k) (run init us) blank = f o (fun j =>
    nth j (run init us) blank).
Proof.
  induction us as [|o' us IH] using rev_ind; intros H k o E; [destruct k; discriminate|].
  rewrite run_snoc. assert (Ls := run_length us).
  assert (H' : forall k o, nth_error us k = Some o -> forall j, In j (operands o) ->
    (j < m + k)%nat).
  { intros k' a E' j Hj. apply (H k' a); [|exact Hj]. rewrite nth_error_app1;
      [exact E'|]. apply nth_error_Some. congruence. }
  destruct (Nat.lt_ge_cases k (length us)) as [L|L].
  - rewrite nth_error_app1 in E by exact L. rewrite app_nth1 by lia. rewrite (IH H' k o E).
    apply f_ext.
    intros j Hj. assert (J := H' k o E j Hj). now rewrite app_nth1 by lia.
  - rewrite nth_error_app2 in E by exact L.
    destruct (k - length us)%nat as [|d] eqn:M; [|destruct d; discriminate].
    injection E as ->. assert (k = length us) as -> by lia.
    rewrite app_nth2, Ls, Nat.sub_diag by lia. cbn [nth].
    apply f_ext. intros j Hj. assert (J := H (length us) o).
    rewrite nth_error_app2, Nat.sub_diag in J by lia.
    specialize (J eq_refl j Hj). now rewrite app_nth1 by lia.
Qed.
End Run.

(** ** Softmax *)

Lemma argmax n (f : nat -> R) : (0 < n)%nat -> exists k, (k < n)%nat /\ forall j, (j < n)%nat ->
  f j <= f k.
Proof.
  induction n as [|n IH]; intros H; [lia|]. destruct n as [|n].
  - exists 0%nat. split; [lia|]. intros j Hj. replace j with 0%nat by lia. lra.
  - destruct (IH ltac:(lia)) as (k & Hk & M). destruct (Rle_dec (f k) (f (S n))) as [L|L].
    + exists (S n). split; [lia|]. intros j Hj. destruct (Nat.eq_dec j (S n)) as [->|N]; [lra|].
      specialize (M j ltac:(lia)). lra.
    + exists k. split; [lia|]. intros j Hj. destruct (Nat.eq_dec j (S n)) as [->|N]; [lra|].
      apply M. lia.
Qed.

Lemma softmax_exactly n (z : nat -> R) : (0 < n)%nat ->
  exists p, computes_softmax n (fun c => Finite (z c)) p.
Proof.
  intros Hn. destruct (argmax n z Hn) as (k & Hk & M). set (e := fun j => exp (z j - z k)).
  set (s := over n e).
  assert (P : forall j, 0 < e j) by (intros; apply exp_pos).
  exists (fun j => Finite (e j / s)), k, (fun j => Finite (z j - z k)), (fun j => Finite (e j)),
    (Finite s).
  split; [exact Hk|]. split; [|split; [|split; [|split]]].
  - intros j a b Hj [= <-] [= <-]. now apply M.
  - intros j Hj. split; [exact (computes_exactly Rminus (z j) (z k))|]. intros t [= <-].
    split; [specialize (M j Hj); lra|]. exists (e j). split; [reflexivity|]. apply within_nothing.
    generalize (exp_pos (z j - z k)) eta_pos. lra.
  - intros r Hr. replace s with (exact_sum (map (fun j =>
      ([], r j)) (seq 0 n))); [apply sum_exactly|].
    unfold exact_sum, s, over. rewrite map_map. f_equal. apply map_ext_in. intros j Hj.
    apply in_seq in Hj.
    assert (K := Hr j ltac:(lia)). injection K as <-. unfold exact, constant. cbn. ring.
  - intros j Hj. left. apply quotient_exactly.
  - intros j t Hj [= <-]. assert (L : e j <= s) by (apply over_member; [exact Hj|]; intros;
      now apply Rlt_le).
    specialize (P j). split; [apply Rmult_le_pos; [lra|apply Rlt_le, Rinv_0_lt_compat; lra]|].
    apply (Rmult_le_reg_r s); [lra|]. unfold Rdiv. rewrite Rmult_assoc, Rinv_l by lra. lra.
Qed.

(** If a logit overflowed, nothing is asked of the probabilities. *)
Lemma softmax_exists n (z : nat -> value) : (0 < n)%nat -> exists p, computes_softmax n z p.
Proof.
  intros Hn. assert (D : forall k, (exists j, (j < k)%nat /\ z j = Overflow) \/ exists r, forall j,
    (j < k)%nat -> z j = Finite (r j)).
  { induction k as [|k [(j & Hj & E)|[r Hr]]]; [right; exists (fun _ =>
      0); lia|left; exists j; split; [lia|exact E]|].
    destruct (z k) as [x|] eqn:E; [right|left; exists k; split; [lia|exact E]].
    exists (fun j => if Nat.eqb j k then x else r j). intros j Hj.
    destruct (Nat.eqb_spec j k) as [->|N]; [exact E|apply Hr; lia]. }
  destruct (D n) as [(k & Hk & E)|[r Hr]].
  - exists (fun _ => Finite 0), k, (fun _ => Overflow), (fun _ => Overflow), Overflow.
    split; [exact Hk|]. rewrite E.
    split; [intros; discriminate|].
    split; [intros j _; split; [intros p q _; discriminate|intros t; discriminate]|].
    split; [intros r Hr; specialize (Hr k Hk); discriminate|].
    split; [intros j _; left; intros p q; discriminate|]. intros j t _ [= <-]. lra.
  - destruct (softmax_exactly n r Hn) as (p & k & d & e & s & Hk & H1 & H2 & H).
    exists p, k, d, e, s. split; [exact Hk|].
    split; [|split; [|exact H]].
    + intros j a b Hj. rewrite (Hr j Hj), (Hr k Hk). now apply H1.
    + intros j Hj. rewrite (Hr j Hj), (Hr k Hk). now apply H2.
Qed.

(** ** The theorem *)

(* map: every network has an execution on every image *)
Theorem execution_exists net v : earlier (units net) -> logits net <> [] ->
  exists x p, execution net v x p.
Proof.
  intros H N. set (r := fun k => nth k (run R 0 (fun o => ideal o v) [] (units net)) 0).
  destruct (softmax_exactly (length (logits net)) (fun c =>
    r (nth c (logits net) 0%nat))) as [p Hp].
  { destruct (logits net); [easy|cbn; lia]. }
  exists (fun k => Finite (r k)), p. split; [|exact Hp].
  intros k o E. unfold r at 2. rewrite (run_at R 0 (fun o => ideal o v) (fun o =>
    ideal_ext o v) [] _ H k o E : nth k _ _ = _).
  exact (performs_exactly o v (fun k => Finite (r k))).
Qed.

(** Where all values of all executions are finite, so are those of units whose probabilities are not
    looked at. *)
Theorem units_finite net v x : always_finite net -> image v -> logits net <> [] ->
  (forall k o, nth_error (units net) k = Some o -> performs o v x (x k)) ->
  forall k, (k < length (units net))%nat -> exists r, x k = Finite r.
Proof.
  intros H Hv N P. destruct (softmax_exists (length (logits net)) (fun c =>
    x (nth c (logits net) 0%nat))) as [p Hp].
  { destruct (logits net); [easy|cbn; lia]. }
  exact (proj1 (H v x p Hv (conj P Hp))).
Qed.
