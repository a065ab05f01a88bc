(** * Computed values that Statement.v's executions admit

    - [admits_unit]: an image, the values of the units that unit [o] reads, its own value and how it
      was computed (partial results, constants multiplied beforehand) are as Statement.v allows;
      [admits_unit_ok]: then the unit [performs] it. All five operations;
    - [admits_softmax], [admits_softmax_ok]: likewise the probabilities of given logits;
    - [admits_execution], [admits_execution_ok]: all of a network, an [execution] of it.

    Tests hand it what the reference executor computes. A curve's value is held against an enclosure
    of the real curve; it is admitted if it is within the library's error of all that the enclosure
    leaves open, some 2^-50. Values have to be multiples of 2^-100 (no underflow). Rests on
    Admits.v, Precise.v. *)

From Coq Require Import Reals Lra Lia ZArith List Bool FunctionalExtensionality.
From Lastbit Require Import Statement Totals binary32.Terms curves.Enclosure checker.Program
  checker.Numbers checker.Vectors checker.Annotation.
From Lastbit Require Import checker.SumRoundings checker.Precise checker.Single checker.Admits.
Notation real := Numbers.real.
Import ListNotations.
Open Scope Z_scope.

(** ** Divisions of softmax *)

(** [v] is [a / b], rounded; or [a] times the rounded reciprocal [i]. *)
Inductive division := Direct | Reciprocal (i : Z).

Definition admits_division (h : division) (a b v : Z) : bool :=
  match h with Direct => quotient a b v | Reciprocal i => quotient one b i && rounded (a * i) v end.

(** ** Curves *)

(** [|z| <= 2^-n] *)
Definition tiny (z : Z) (n : Z) : bool := Z.abs z <=? Z.shiftr one n.

Definition admits_sigmoid (z v : Z) : bool :=
  let (l, h) := sigmoid_between z in let off := Z.max (v - l) (h - v) in
  (off <=? Z.shiftr one 22) && (negb (tiny z 6) || (off <=? Z.shiftr one 23)) &&
  (negb (tiny z 27) || (off <=? Z.shiftr one 28)).

Definition admits_silu (z v : Z) : bool :=
  let (l, h) := sigmoid_between z in
  let off := Z.max (Z.abs (v * one - z * l)) (Z.abs (v * one - z * h)) * 0x1000000 in
  let whole := Z.abs z * one in
  (off <=? 6 * whole) && (negb (tiny z 6) || (off <=? 3 * whole)) &&
  (negb (tiny z 27) || (16 * off <=? whole)).

(** [v] is exp [t]: times exp (- t) it is 1, within 2^-20. *)
Definition admits_exp (t v : Z) : bool :=
  let (l, h) := exp_between (- t) in let square := one * one in let off := Z.shiftr square 20 in
  (t <=? 0) && (0 <=? v) && (square - off <=? v * l) && (v * h <=? square + off).

(** ** Units *)

Inductive way := Plain | Tree (t : witness).

(** The terms of a linear unit, given the values of the units. *)
Definition terms_with (x : positive -> Z) (ws : sparse) (bs : list Z) (over : option Z) : list
  zterm :=
  map (fun w => (ZTimes (fst w) :: match over with None => [] | Some c =>
    [ZOver c] end, x (snd w))) ws ++ map (pair []) bs.

(** Unit [o] has computed [y] in this way, of the image [v] and the values [x] of earlier units. *)
Definition admits_unit (o : cunit) (v : nat -> Z) (x : positive -> Z) (y : Z) (w : way) : bool :=
  match o, w with
  | CPixel p, Plain => y =? v p * one
  | CLinear ws bs over, Tree t => admits_terms t (terms_with x ws bs over) y
  | CSigmoid j, Plain => admits_sigmoid (x j) y
  | CSilu j, Plain => admits_silu (x j) y
  | CGate i j, Plain => rounded (x i * x j) y
  | _, _ => false
  end.

(** ** Softmax *)

(** The number of the largest logit, the differences from it, their exponentials, the sum of these,
    and how each was divided by it. *)
Record softmax_way :=
  { s_top : nat; s_differences : list Z; s_powers : list Z; s_sum : witness;
  s_divisions : list division }.

Definition admits_softmax (n : nat) (z p : nat -> Z) (w : softmax_way) : bool :=
  let d j := nth j (s_differences w) 0 in let e j := nth j (s_powers w) 0 in
  (s_top w <? n)%nat && forallb (fun j => z j <=? z (s_top w)) (seq 0 n) &&
  forallb (fun j => rounded ((z j - z (s_top w)) * one) (d j) && admits_exp (d j) (e j))
  (seq 0 n) &&
  admits_terms (s_sum w) (map (fun j => ([], e j)) (seq 0 n)) (result (s_sum w)) &&
  forallb (fun j => admits_division (nth j (s_divisions w) Direct) (e j) (result (s_sum w)) (p j))
  (seq 0 n) &&
  forallb (fun j => (0 <=? p j) && (p j <=? one)) (seq 0 n).

(** ** Executions *)

Definition logit_of (net : cnet) (x : positive -> Z) (c : nat) : Z :=
  x (nth c (clogits net) 1%positive).

Definition admits_execution (net : cnet) (v : nat -> Z) (x : positive -> Z) (p : nat -> Z) (ways :
  positive -> way)
    (w : softmax_way) : bool :=
  forallb (fun ko => admits_unit (snd ko) v x (x (fst ko)) (ways (fst ko)))
  (numbered 1 (cunits net)) &&
  admits_softmax (length (clogits net)) (logit_of net x) p w.

(** The values of units, and of classes, that these integers stand for. *)
Definition values_of (x : positive -> Z) (k : nat) : value := Finite (real (x (key k))).
Definition finite (p : nat -> Z) (c : nat) : value := Finite (real (p c)).

Open Scope R_scope.

(** ** What they decide *)

Lemma quotient_ok a b v : quotient a b v = true ->
  computes_quotient (Finite (real a)) (Finite (real b)) (Finite (real v)).
Proof.
  intros H p q [= <-] [= <-] Hb. exists (real a). split; [apply reads_refl|].
  apply rounds_ok, quotient_error; [now apply normal_nonzero|exact H].
Qed.

Lemma rounded_computes (f : R -> R -> R) a b t v : f (real a) (real b) = real2 t ->
  rounded t v = true ->
  computes f (Finite (real a)) (Finite (real b)) (Finite (real v)).
Proof.
  intros E H p q [= <-] [= <-]. exists (real a), (real b). split; [apply reads_refl|].
  split; [apply reads_refl|]. apply rounds_ok. rewrite E. now apply rounded_ok.
Qed.

Lemma division_ok h a b v : admits_division h a b v = true ->
  divides (Finite (real a)) (Finite (real b)) (Finite (real v)).
Proof.
  destruct h as [|i]; cbn [admits_division]; intros H; [left; now apply quotient_ok|right].
  apply andb_prop in H. destruct H as [H1 H2]. exists (Finite (real i)). split.
  - rewrite <- real_one. now apply quotient_ok.
  - apply rounded_computes with (2 := H2). apply product_real.
Qed.

Lemma shifted n : (0 <= n)%Z -> (n <= 100)%Z -> real (Z.shiftr one n) = / IZR (2 ^ n).
Proof.
  intros H0 H1. rewrite Z.shiftr_div_pow2 by exact H0. change one with (2 ^ 100)%Z.
  rewrite <- Z.pow_sub_r by lia.
  assert (E : (2 ^ 100 = 2 ^ (100 - n) * 2 ^ n)%Z) by (rewrite <- Z.pow_add_r by lia; f_equal; lia).
  assert (P : 0 < IZR (2 ^ n)) by (apply IZR_lt, Z.pow_pos_nonneg; lia).
  assert (Q : 2 ^ 100 = IZR (2 ^ (100 - n)) * IZR (2 ^ n))
    by (rewrite <- mult_IZR, <- E; apply eq_sym, one_is).
  unfold real. rewrite Q. field. split; [lra|]. intros Z. rewrite Z in Q. lra.
Qed.

Lemma tiny_ok z n : (0 <= n)%Z -> (n <= 100)%Z -> tiny z n = false -> / IZR (2 ^ n) < Rabs (real z).
Proof.
  intros H0 H1. unfold tiny. rewrite Z.leb_gt. intros H.
  rewrite <- real_abs, <- shifted by assumption. apply IZR_lt in H. unfold real. lra.
Qed.

Lemma sigmoid_ok z v : admits_sigmoid z v = true ->
  computes_sigmoid (Finite (real z)) (Finite (real v)).
Proof.
  unfold admits_sigmoid. generalize (sigmoid_between_ok z). destruct (sigmoid_between z) as [l h].
  intros [L H]. set (off := Z.max (v - l) (h - v)).
  assert (O : Rabs (real v - sigmoid (real z)) <= real off).
  { unfold off. rewrite real_max, !real_minus. unfold Rmax.
    destruct Rle_dec; unfold Rabs; destruct Rcase_abs; lra. }
  rewrite !andb_true_iff, !orb_true_iff, !negb_true_iff, !Z.leb_le. intros [[A B] C] t [= <-].
  exists (real v). split; [reflexivity|].
  assert (N : forall n, (0 <= n <= 100)%Z -> (off <= Z.shiftr one n)%Z ->
    real off <= / IZR (2 ^ n)).
  { intros n Hn K. rewrite <- shifted by lia. now apply real_le. }
  assert (Rx : IZR (2 ^ 22) = 4194304 /\ IZR (2 ^ 23) = 8388608 /\ IZR (2 ^ 28) = 268435456)
    by (repeat split; simpl; lra).
  rewrite u_is. split; [|split]; intros.
  - apply Rle_trans with (1 := O). apply N in A; [|lia]. change (2 ^ 22)%Z with 4194304%Z in A. lra.
  - apply Rle_trans with (1 := O). destruct B as [B|B].
    + apply tiny_ok in B; try lia. change (2 ^ 6)%Z with 64%Z in B. lra.
    + apply N in B; [|lia]. change (2 ^ 23)%Z with 8388608%Z in B. lra.
  - apply Rle_trans with (1 := O). destruct C as [C|C].
    + apply tiny_ok in C; try lia. change (2 ^ 27)%Z with 134217728%Z in C. lra.
    + apply N in C; [|lia]. change (2 ^ 28)%Z with 268435456%Z in C. lra.
Qed.

Lemma between_ends v z l s h : l <= s <= h ->
  Rabs (v - z * s) <= Rmax (Rabs (v - z * l)) (Rabs (v - z * h)).
Proof.
  intros [L H]. destruct (Rle_or_lt 0 z) as [Z|Z].
  - assert (z * l <= z * s) by (apply Rmult_le_compat_l; lra).
    assert (z * s <= z * h) by (apply Rmult_le_compat_l; lra). unfold Rmax.
    destruct Rle_dec; unfold Rabs in *; repeat destruct Rcase_abs; lra.
  - assert (z * s <= z * l) by (apply Rmult_le_compat_neg_l; lra).
    assert (z * h <= z * s) by (apply Rmult_le_compat_neg_l; lra). unfold Rmax.
    destruct Rle_dec; unfold Rabs in *; repeat destruct Rcase_abs; lra.
Qed.

Lemma silu_ok z v : admits_silu z v = true -> computes_silu (Finite (real z)) (Finite (real v)).
Proof.
  unfold admits_silu. generalize (sigmoid_between_ok z). destruct (sigmoid_between z) as [l h].
  intros LH. set (off := Z.max (Z.abs (v * one - z * l)) (Z.abs (v * one - z * h))).
  assert (E : forall s, Rabs (real v - real z * real s) =
    IZR (Z.abs (v * one - z * s)) / 2 ^ 100 / 2 ^ 100).
  { intros s. rewrite abs_IZR, minus_IZR, !mult_IZR, one_is. unfold Rdiv.
    rewrite <- (Rabs_pos_eq (/ 2 ^ 100)) by lra. rewrite <- !Rabs_mult. f_equal. unfold real. field.
    }
  assert (O : Rabs (real v - silu (real z)) <= IZR off / 2 ^ 100 / 2 ^ 100).
  { apply Rle_trans with (1 := between_ends (real v) (real z) _ _ _ LH). rewrite !E. unfold off.
    apply Rmax_lub; unfold Rdiv; repeat (apply Rmult_le_compat_r; [lra|]); apply IZR_le; lia. }
  rewrite !andb_true_iff, !orb_true_iff, !negb_true_iff, !Z.leb_le. intros [[A B] C] t [= <-].
  exists (real v). split; [reflexivity|].
  assert (W : Rabs (real z) = IZR (Z.abs z) / 2 ^ 100) by (rewrite <- real_abs; reflexivity).
  assert (Hz : 0 <= IZR (Z.abs z)) by (apply IZR_le; lia). assert (He := eta_pos).
  rewrite u_is. split; [|split; intros K].
  - apply IZR_le in A. rewrite !mult_IZR, one_is in A. rewrite W. lra.
  - destruct B as [B|B]; [apply tiny_ok in B; try lia; change (2 ^ 6)%Z with 64%Z in B; lra|].
    apply IZR_le in B. rewrite !mult_IZR, one_is in B. rewrite W. lra.
  - destruct C as [C|C];
      [apply tiny_ok in C; try lia; change (2 ^ 27)%Z with 134217728%Z in C; lra|].
    apply IZR_le in C. rewrite !mult_IZR, one_is in C. rewrite W. lra.
Qed.

Lemma exp_ok t v : admits_exp t v = true -> computes_exp (Finite (real t)) (Finite (real v)).
Proof.
  unfold admits_exp. intros H s [= <-]. destruct (exp_between (- t)) as [l h] eqn:E.
  rewrite !andb_true_iff, !Z.leb_le in H. destruct H as [[[T V] A] B].
  assert (K := exp_between_ok (- t) ltac:(lia)). rewrite E, real_opp, exp_Ropp in K.
  assert (P := exp_pos (real t)). set (x := exp (real t)) in *. clear E.
  split; [rewrite <- real_0; now apply real_le|]. exists (real v). split; [reflexivity|].
  assert (O : IZR (Z.shiftr (one * one) 20) = 2 ^ 100 * 2 ^ 100 * / 2 ^ 20).
  { assert (Ez : Z.shiftr (one * one) 20 = (2 ^ 180)%Z) by reflexivity. rewrite Ez. lra. }
  apply IZR_le in A, B. rewrite minus_IZR, !mult_IZR, O, one_is in A.
  rewrite plus_IZR, !mult_IZR, O, one_is in B.
  assert (A' : 1 - / 2 ^ 20 <= real v * real l) by (unfold real; lra).
  assert (B' : real v * real h <= 1 + / 2 ^ 20) by (unfold real; lra). apply real_pos in V.
  assert (Q : 1 - / 2 ^ 20 <= real v * / x <= 1 + / 2 ^ 20).
  { split; [apply Rle_trans with (1 := A')|apply Rle_trans with (2 := B')];
      apply Rmult_le_compat_l; lra. }
  assert (R : real v = real v * / x * x) by (field; lra).
  assert (L : (1 - / 2 ^ 20) * x <= real v) by (rewrite R; apply Rmult_le_compat_r; lra).
  assert (U : real v <= (1 + / 2 ^ 20) * x) by (rewrite R; apply Rmult_le_compat_r; lra).
  generalize eta_pos. unfold Rabs. destruct Rcase_abs; lra.
Qed.

(** ** Units *)

Theorem admits_unit_ok o v x y w X : admits_unit o v x y w = true ->
  (forall j, In j (reads_of o) -> X (num j) = Finite (real (x j))) ->
  performs (denote o) v X (Finite (real y)).
Proof.
  destruct o as [p|ws bs over|j|j|i j], w as [|t]; try discriminate;
    cbn [admits_unit reads_of denote performs]; intros H HX.
  - apply Z.eqb_eq in H. subst y. f_equal. unfold real. rewrite mult_IZR, one_is. field.
  - intros r Hr. apply admits_terms_ok in H. unfold terms_with in H. rewrite map_app, !map_map in H.
    unfold terms, weighted, Convolution.weighted, constants, Convolution.constants, entries in *.
    rewrite !map_map in *.
    cbn [fst snd] in *. refine (eq_ind _ (fun l => sum (l ++ _) _) H _ _). apply map_ext_in.
    intros w Hw.
    assert (J : In (snd w) (map snd ws)) by now apply in_map. specialize (HX _ J).
    rewrite (Hr (num (snd w))) in HX by (apply in_map_iff; now exists w). injection HX as ->.
    unfold term_of. cbn [fst snd map factor_of]. now destruct over.
  - rewrite (HX j (or_introl eq_refl)). now apply sigmoid_ok.
  - rewrite (HX j (or_introl eq_refl)). now apply silu_ok.
  - rewrite (HX i), (HX j) by (simpl; auto). apply rounded_computes with (2 := H).
    apply product_real.
Qed.

(** ** Softmax and executions *)

Theorem admits_softmax_ok n z p w : admits_softmax n z p w = true ->
  computes_softmax n (finite z) (finite p).
Proof.
  unfold admits_softmax. rewrite !andb_true_iff, !forallb_forall.
  intros [[[[[H1 H2] H3] H4] H5] H6]. apply Nat.ltb_lt in H1.
  assert (I : forall j, (j < n)%nat -> In j (seq 0 n)) by (intros; apply in_seq; lia).
  exists (s_top w), (finite (fun j => nth j (s_differences w) 0%Z)),
    (finite (fun j => nth j (s_powers w) 0%Z)),
    (Finite (real (result (s_sum w)))). unfold finite. split; [exact H1|].
    split; [|split; [|split; [|split]]].
  - intros j a b Hj [= <-] [= <-]. apply real_le, Z.leb_le, H2, I, Hj.
  - intros j Hj. specialize (H3 j (I j Hj)). apply andb_prop in H3. destruct H3 as [D E]. split.
    + apply rounded_computes with (2 := D). apply difference_real2.
    + now apply exp_ok.
  - intros r Hr. apply admits_terms_ok in H4. rewrite map_map in H4.
    replace (map (fun j => ([], r j)) (seq 0 n)) with (map (fun j =>
      term_of ([], nth j (s_powers w) 0%Z)) (seq 0 n)); [exact H4|].
    apply map_ext_in. intros j Hj. apply in_seq in Hj. unfold term_of. cbn [fst snd map]. f_equal.
    specialize (Hr j ltac:(lia)). now injection Hr.
  - intros j Hj. now apply division_ok with (1 := H5 j (I j Hj)).
  - intros j r Hj [= <-]. specialize (H6 j (I j Hj)). rewrite andb_true_iff, !Z.leb_le in H6.
    rewrite <- real_0, <- real_one. now split; apply real_le.
Qed.

Theorem admits_execution_ok net v x p ways w : admits_execution net v x p ways w = true ->
  execution (network_of net) v (values_of x) (finite p).
Proof.
  unfold admits_execution. rewrite andb_true_iff, forallb_forall. intros [H1 H2]. split.
  - intros k o Ho. cbn [units network_of] in Ho. rewrite nth_error_map in Ho.
    destruct (nth_error (cunits net) k) as [c|] eqn:E; [|discriminate]. injection Ho as <-.
    specialize (H1 _ (numbered_nth _ _ _ E)). cbn [fst snd] in H1.
    apply admits_unit_ok with (1 := H1). intros j _. unfold values_of. now rewrite key_num.
  - cbn [logits network_of]. rewrite length_map. apply admits_softmax_ok in H2.
    replace (fun c : nat => values_of x (nth c (map num (clogits net)) 0%nat))
      with (finite (logit_of net x)); [exact H2|].
    apply functional_extensionality. intros c. unfold finite, logit_of, values_of.
    change 0%nat with (num 1). now rewrite map_nth, key_num.
Qed.
