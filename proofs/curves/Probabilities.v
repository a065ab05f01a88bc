(** * The computed softmax

    - [probabilities]: from finite logits in range, at most 2^14 of them, the probabilities that a
      runtime computes are finite and within [softmax_error n] of the softmax of the logits;
    - [softmax_error n] is [1.1 ((n + 1) theta + (2 n + 1) u)] with [theta = u / 2 + 2^-20].

    Rests on Sums.v, Softmax.v, and the assumptions on exp and softmax in Statement.v; division, or
    multiplication with the rounded reciprocal. Stands behind [softmax_error] of check.py. *)

From Coq Require Import Reals Lra Lia List Permutation.
From Lastbit Require Import Statement Totals binary32.WorstTree binary32.Sums binary32.Layers curves.Softmax.
Import ListNotations.
Open Scope R_scope.

Definition theta : R := u / 2 + / 2 ^ 20.
Definition softmax_error (n : nat) : R := 11 / 10 * ((INR n + 1) * theta + (2 * INR n + 1) * u).

Lemma eta_u : eta <= u / 2 ^ 30. Proof. unfold eta, u. lra. Qed.

(** ** One exponential *)

Lemma exp_apart a b : a <= b -> exp b - exp a <= (b - a) * exp b.
Proof.
  intros H. assert (E : exp a = exp b * exp (a - b)) by (rewrite <- exp_plus; f_equal; lra).
  rewrite E. assert (P := exp_pos b). assert (K : 1 + (a - b) <= exp (a - b)).
  { destruct (Req_dec a b) as [->|N]; [rewrite Rminus_diag_eq, exp_0 by easy; lra|].
    apply Rlt_le. destruct (Rle_lt_or_eq_dec (a - b) 0 ltac:(lra)) as [L|L]; [|lra].
    apply exp_ineq1. lra. }
  assert (exp b * (1 + (a - b)) <= exp b * exp (a - b)) by (apply Rmult_le_compat_l; lra). lra.
Qed.

Lemma x_exp x : 0 <= x -> x * exp (- x) <= exp (-1).
Proof.
  intros H. assert (K : x <= exp (x - 1)).
  { destruct (Req_dec x 1) as [->|N]; [rewrite Rminus_diag_eq, exp_0 by easy; lra|].
    apply Rlt_le. replace x with (1 + (x - 1)) at 1 by ring. apply exp_ineq1. lra. }
  replace (exp (-1)) with (exp (x - 1) * exp (- x)) by (rewrite <- exp_plus; f_equal; lra).
  apply Rmult_le_compat_r; [apply Rlt_le, exp_pos|exact K].
Qed.

Lemma exp_tenth : exp (/ 10) <= 1.112.
Proof.
  assert (K : 1 + - / 10 < exp (- / 10)) by (apply exp_ineq1; lra). rewrite exp_Ropp in K.
  assert (P := exp_pos (/ 10)). apply (Rmult_lt_compat_r (exp (/ 10))) in K; [|exact P].
  rewrite Rinv_l in K by lra. lra.
Qed.

Lemma exp_minus_1 : exp (-1) <= 0.38.
Proof.
  assert (K : 1 + / 16 < exp (/ 16)) by (apply exp_ineq1; lra).
  assert (Q : forall t, exp (2 * t) = exp t ^ 2) by (intros; replace (2 * t) with (t + t) by ring; rewrite exp_plus; ring).
  assert (K2 : (1 + / 16) ^ 2 <= exp (2 * / 16)) by (rewrite Q; apply pow_incr; lra).
  assert (K4 : ((1 + / 16) ^ 2) ^ 2 <= exp (2 * (2 * / 16))) by (rewrite Q; apply pow_incr; lra).
  assert (K8 : (((1 + / 16) ^ 2) ^ 2) ^ 2 <= exp (2 * (2 * (2 * / 16)))) by (rewrite Q; apply pow_incr; lra).
  assert (K16 : ((((1 + / 16) ^ 2) ^ 2) ^ 2) ^ 2 <= exp (2 * (2 * (2 * (2 * / 16))))) by (rewrite Q; apply pow_incr; lra).
  replace (2 * (2 * (2 * (2 * / 16)))) with 1 in K16 by field.
  replace (exp (-1)) with (/ exp 1) by (rewrite <- exp_Ropp; f_equal; ring).
  apply (Rmult_le_reg_r (exp 1)); [apply exp_pos|]. rewrite Rinv_l; [lra|]. generalize (exp_pos 1); lra.
Qed.

(** The rounded difference [d] of a logit from the largest one, [t] exactly. *)
Lemma rounded_argument t d : t <= 0 -> d <= 0 -> Rabs (d - t) <= u * Rabs t + 4 * eta ->
  Rabs (exp d - exp t) <= 0.44 * u.
Proof.
  intros Ht Hd H. assert (Hu := u_pos). assert (He := eta_pos). assert (Eu := eta_u).
  assert (U1 : u <= / 2 ^ 24) by (unfold u; lra).
  rewrite (Rabs_left1 t) in H by exact Ht. set (s := - t) in *.
  assert (Hs : 0 <= s) by (unfold s; lra).
  assert (W : Rabs (exp d - exp t) <= (u * s + 4 * eta) * exp (Rmax d t)).
  { destruct (Rle_or_lt d t) as [L|L].
    - rewrite Rmax_right by exact L. rewrite Rabs_minus_sym, Rabs_pos_eq.
      + apply Rle_trans with (1 := exp_apart d t L). apply Rmult_le_compat_r; [apply Rlt_le, exp_pos|].
        unfold Rabs in H; destruct Rcase_abs in H; lra.
      + destruct (Req_dec d t) as [->|]; [lra|]. assert (exp d < exp t) by (apply exp_increasing; lra). lra.
    - rewrite Rmax_left by lra. rewrite Rabs_pos_eq.
      + apply Rle_trans with (1 := exp_apart t d ltac:(lra)). apply Rmult_le_compat_r; [apply Rlt_le, exp_pos|].
        unfold Rabs in H; destruct Rcase_abs in H; lra.
      + assert (exp t < exp d) by (apply exp_increasing; lra). lra. }
  assert (Mx : Rmax d t <= 0) by (apply Rmax_lub; lra).
  assert (My : Rmax d t <= - (s * (1 - u)) + 4 * eta).
  { apply Rmax_lub; [unfold Rabs in H; destruct Rcase_abs in H; unfold s in *; lra|].
    assert (0 <= s * u) by (apply Rmult_le_pos; lra). unfold s in *; lra. }
  assert (E1 : exp (Rmax d t) <= 1).
  { rewrite <- exp_0. destruct Mx as [Mx| ->]; [apply Rlt_le, exp_increasing, Mx|lra]. }
  assert (E2 : exp (Rmax d t) <= exp (- (s * (1 - u))) * exp (/ 10)).
  { rewrite <- exp_plus. apply Rlt_le, exp_increasing. lra. }
  assert (E3 := exp_tenth). assert (E4 := exp_minus_1).
  assert (X := x_exp (s * (1 - u)) ltac:(apply Rmult_le_pos; lra)).
  assert (Y : s * exp (Rmax d t) <= 0.43).
  { apply Rle_trans with (s * (exp (- (s * (1 - u))) * exp (/ 10))); [now apply Rmult_le_compat_l|].
    apply (Rmult_le_reg_r (1 - u)); [lra|].
    replace (s * (exp (- (s * (1 - u))) * exp (/ 10)) * (1 - u)) with
      (s * (1 - u) * exp (- (s * (1 - u))) * exp (/ 10)) by ring.
    apply Rle_trans with (0.38 * 1.112); [|lra].
    apply Rmult_le_compat; [apply Rmult_le_pos; [apply Rmult_le_pos; lra|apply Rlt_le, exp_pos]|apply Rlt_le, exp_pos|lra|exact E3]. }
  apply Rle_trans with (1 := W).
  replace ((u * s + 4 * eta) * exp (Rmax d t)) with (u * (s * exp (Rmax d t)) + 4 * eta * exp (Rmax d t)) by ring.
  assert (u * (s * exp (Rmax d t)) <= u * 0.43) by (apply Rmult_le_compat_l; lra).
  assert (4 * eta * exp (Rmax d t) <= 4 * eta * 1) by (apply Rmult_le_compat_l; lra). lra.
Qed.

(** ** Division *)

(** A quotient of [e], about [E <= S], by [s], about [S >= 1]. *)
Lemma quotient_error E S e s y x : 0 <= E <= 1 -> E <= S -> 1 <= S -> 0 <= x <= 0.02 ->
  Rabs (e - E) <= x -> Rabs (s - S) <= x * S -> divides (Finite e) (Finite s) y ->
  S <= largest / 2 ->
  exists p, y = Finite p /\ Rabs (p - e / s) <= 2.2 * u.
Proof.
  intros HE HES HS Hx He Hs D Hl. assert (Hu := u_pos). assert (Ht := eta_pos). assert (Eu := eta_u).
  assert (U1 : u <= / 2 ^ 24) by (unfold u; lra).
  assert (Ls : 1000 <= largest) by (unfold largest; lra).
  assert (Xs : x * S <= 0.02 * S) by (apply Rmult_le_compat_r; lra).
  assert (S1 : 0.98 <= s) by (unfold Rabs in Hs; destruct Rcase_abs in Hs; lra).
  assert (e1 : Rabs e <= 1.02) by (unfold Rabs in *; repeat destruct Rcase_abs in *; repeat destruct Rcase_abs; lra).
  assert (I1 : 0 < / s <= 1.03).
  { split; [apply Rinv_0_lt_compat; lra|]. apply (Rmult_le_reg_r s); [lra|]. rewrite Rinv_l by lra. lra. }
  assert (Q1 : Rabs (e / s) <= 1.06).
  { unfold Rdiv. rewrite Rabs_mult, (Rabs_pos_eq (/ s)) by lra. apply Rle_trans with (1.02 * 1.03); [|lra].
    apply Rmult_le_compat; [apply Rabs_pos|lra|lra|lra]. }
  assert (Big : eta < Rabs s) by (rewrite Rabs_pos_eq; lra).
  destruct D as [D|(i & Di & D)].
  - destruct (D e s eq_refl eq_refl Big) as (e' & Re & Hv).
    assert (Re' := reads_error _ _ Re). assert (Ae := reads_abs _ _ Re).
    assert (Q2 : Rabs (e' / s) <= Rabs (e / s)).
    { unfold Rdiv. rewrite !Rabs_mult. apply Rmult_le_compat_r; [apply Rabs_pos|exact Ae]. }
    assert (Q3 : Rabs (e' / s - e / s) <= eta * 1.03).
    { replace (e' / s - e / s) with ((e' - e) * / s) by (field; lra). rewrite Rabs_mult, (Rabs_pos_eq (/ s)) by lra.
      apply Rmult_le_compat; [apply Rabs_pos|lra|lra|lra]. }
    destruct Hv as (p & -> & Hp); [lra|]. exists p. split; [reflexivity|].
    replace (p - e / s) with ((p - e' / s) + (e' / s - e / s)) by ring.
    apply Rle_trans with (1 := Rabs_triang _ _).
    assert (u * Rabs (e' / s) <= u * 1.06) by (apply Rmult_le_compat_l; lra). lra.
  - destruct (Di 1 s eq_refl eq_refl Big) as (o & Ro & Hi).
    assert (o = 1) as -> by (destruct Ro as [->|[_ Ro]]; [reflexivity|rewrite Rabs_R1 in Ro; lra]).
    assert (V : 1 / s = / s) by (unfold Rdiv; ring). rewrite V in Hi.
    destruct Hi as (r & -> & Hr); [rewrite Rabs_pos_eq; lra|].
    rewrite (Rabs_pos_eq (/ s)) in Hr by lra.
    assert (Hr2 : Rabs (r - / s) <= 1.04 * u).
    { apply Rle_trans with (1 := Hr). assert (u * / s <= u * 1.03) by (apply Rmult_le_compat_l; lra). lra. }
    assert (r1 : Rabs r <= 1.04).
    { replace r with ((r - / s) + / s) by ring. apply Rle_trans with (1 := Rabs_triang _ _).
      rewrite (Rabs_pos_eq (/ s)) by lra. lra. }
    destruct (D e r eq_refl eq_refl) as (e' & r' & Re & Rr & Hv).
    destruct (reads_product _ _ _ _ Re Rr) as [Q3 Q2].
    assert (Q4 : Rabs (e * r - e / s) <= 1.02 * u * 1.04 ).
    { replace (e * r - e / s) with (e * (r - / s)) by (field; lra). rewrite Rabs_mult.
      replace (1.02 * u * 1.04) with (1.02 * (1.04 * u)) by ring.
      apply Rmult_le_compat; [apply Rabs_pos|apply Rabs_pos|lra|lra]. }
    assert (Q5 : Rabs (e * r) <= 1.02 * 1.04) by (rewrite Rabs_mult; apply Rmult_le_compat; try apply Rabs_pos; lra).
    assert (Q6 : Rabs (e * r) <= Rabs (e / s) + 1.07 * u).
    { replace (e * r) with ((e * r - e / s) + e / s) by ring. apply Rle_trans with (1 := Rabs_triang _ _). lra. }
    destruct Hv as (p & -> & Hp); [lra|]. exists p. split; [reflexivity|].
    replace (p - e / s) with ((p - e' * r') + ((e' * r' - e * r) + (e * r - e / s))) by ring.
    apply Rle_trans with (1 := Rabs_triang _ _).
    assert (T := Rabs_triang (e' * r' - e * r) (e * r - e / s)).
    assert (eta * (Rabs e + Rabs r) <= eta * 3) by (apply Rmult_le_compat_l; lra).
    assert (u * Rabs (e' * r') <= u * Rabs (e * r)) by (apply Rmult_le_compat_l; lra).
    assert (u * Rabs (e * r) <= u * 1.0609) by (apply Rmult_le_compat_l; lra). lra.
Qed.

(** ** The theorem *)

Section Softmax.
Variable n : nat.
Hypothesis Hn : (n <= 2 ^ 14)%nat.
Variables z p : nat -> value.
Variable r : nat -> R.
Hypothesis Hz : forall j, (j < n)%nat -> z j = Finite (r j).
Hypothesis Hr : forall j, (j < n)%nat -> Rabs (r j) <= largest / 2.
Hypothesis H : computes_softmax n z p.

(** Its weights, relative to the largest logit [k]. *)
Let weight (k j : nat) : R := exp (r j - r k).
Let slack : R := 0.45 * u + / 2 ^ 20.

Lemma one_exponential k j d e : (k < n)%nat -> (j < n)%nat -> r j <= r k ->
  computes Rminus (z j) (z k) d -> computes_exp d e ->
  exists x, e = Finite x /\ Rabs (x - weight k j) <= slack.
Proof.
  intros Hk Hj Hm Cd Ce. assert (Hu := u_pos). assert (He := eta_pos). assert (Eu := eta_u).
  assert (U1 : u <= / 2 ^ 24) by (unfold u; lra).
  destruct (Cd (r j) (r k) (Hz j Hj) (Hz k Hk)) as (a & b & Ra & Rb & Hv).
  assert (A1 := reads_abs _ _ Ra). assert (B1 := reads_abs _ _ Rb).
  assert (A2 := reads_error _ _ Ra). assert (B2 := reads_error _ _ Rb).
  assert (L1 := Hr j Hj). assert (L2 := Hr k Hk).
  assert (T := Rabs_triang a (- b)). rewrite Rabs_Ropp in T.
  destruct Hv as (x & -> & Hx); [unfold Rminus; lra|].
  destruct (Ce x eq_refl) as (Nx & y & -> & Hy). exists y. split; [reflexivity|].
  assert (D : Rabs ((a - b) - (r j - r k)) <= 2 * eta).
  { replace ((a - b) - (r j - r k)) with ((a - r j) + - (b - r k)) by ring.
    apply Rle_trans with (1 := Rabs_triang _ _). rewrite Rabs_Ropp. lra. }
  assert (D2 : Rabs (a - b) <= Rabs (r j - r k) + 2 * eta).
  { replace (a - b) with ((a - b - (r j - r k)) + (r j - r k)) by ring.
    apply Rle_trans with (1 := Rabs_triang _ _). lra. }
  assert (K : Rabs (exp x - weight k j) <= 0.44 * u).
  { apply rounded_argument; [lra|exact Nx|].
    replace (x - (r j - r k)) with ((x - (a - b)) + (a - b - (r j - r k))) by ring.
    apply Rle_trans with (1 := Rabs_triang _ _).
    assert (u * Rabs (a - b) <= u * (Rabs (r j - r k) + 2 * eta)) by (apply Rmult_le_compat_l; lra).
    assert (u * eta <= / 2 ^ 24 * eta) by (apply Rmult_le_compat_r; lra). lra. }
  replace (y - weight k j) with ((y - exp x) + (exp x - weight k j)) by ring.
  apply Rle_trans with (1 := Rabs_triang _ _).
  assert (exp x <= 1) by (rewrite <- exp_0; destruct Nx as [Nx| ->]; [apply Rlt_le, exp_increasing, Nx|lra]).
  unfold slack. lra.
Qed.

Lemma softmax_weight k c : (k < n)%nat -> softmax n r c = weight k c / over n (weight k).
Proof.
  intros Hk. unfold softmax, weight.
  assert (E : over n (fun j => exp (r j)) = exp (r k) * over n (fun j => exp (r j - r k))).
  { rewrite <- over_scale. apply over_ext. intros. rewrite <- exp_plus. f_equal. ring. }
  rewrite E. replace (exp (r c)) with (exp (r k) * exp (r c - r k)) by (rewrite <- exp_plus; f_equal; ring).
  assert (P := exp_pos (r k)).
  assert (Q : exp (r k - r k) <= over n (fun j => exp (r j - r k))).
  { apply (over_member n (fun j => exp (r j - r k))); [exact Hk|]. intros. apply Rlt_le, exp_pos. }
  generalize (exp_pos (r k - r k)). intros. field. lra.
Qed.

Lemma n_small : INR n <= 2 ^ 14.
Proof. replace (2 ^ 14) with (INR (2 ^ 14)) by (rewrite pow_INR; reflexivity). now apply le_INR. Qed.

(** The computed sum of the exponentials [e]. *)
Lemma sum_of_exponentials k (e : nat -> R) s : (k < n)%nat ->
  (forall j, (j < n)%nat -> r j <= r k) ->
  (forall j, (j < n)%nat -> Rabs (e j - weight k j) <= slack) ->
  sum (map (fun j => Constant (e j)) (seq 0 n)) s ->
  let S := over n (weight k) in
  1 <= S <= INR n /\
  exists q, s = Finite q /\ Rabs (q - S) <= INR n * slack + 1.03 * u * INR n * S.
Proof.
  intros Hk Hmax He Hs S. assert (Hu := u_pos). assert (Ht := eta_pos). assert (Eu := eta_u).
  assert (U1 : u = / 2 ^ 24) by reflexivity. assert (Sn := n_small).
  assert (N1 : 1 <= INR n) by (replace 1 with (INR 1) by reflexivity; apply le_INR; lia).
  assert (Hsl : 0 < slack <= / 2 ^ 19) by (unfold slack; lra).
  assert (Nsl : INR n * slack <= 0.0165).
  { apply Rle_trans with (2 ^ 14 * (0.45 * u + / 2 ^ 20)); [apply Rmult_le_compat; unfold slack in *; lra|]. lra. }
  assert (S1 : 1 <= S).
  { replace 1 with (weight k k) by (unfold weight; rewrite Rminus_diag_eq, exp_0; easy).
    apply over_member; [exact Hk|]. intros. apply Rlt_le, exp_pos. }
  assert (S2 : S <= INR n).
  { apply Rle_trans with (over n (fun _ => 1)).
    - apply over_le. intros j Hj. unfold weight. rewrite <- exp_0. specialize (Hmax j Hj).
      destruct (Req_dec (r j - r k) 0) as [->|]; [lra|]. apply Rlt_le, exp_increasing. lra.
    - clear. induction n as [|m IH]; [unfold over; simpl; lra|]. rewrite over_S, S_INR. lra. }
  split; [lra|]. set (l := map (fun j => Constant (e j)) (seq 0 n)) in *.
  assert (X : exact_sum l = over n e).
  { unfold exact_sum, over, l. rewrite map_map. reflexivity. }
  assert (Sz : size l = over n (fun j => Rabs (e j))).
  { unfold size, over, l. rewrite map_map. reflexivity. }
  assert (Sz2 : size l <= 1.02 * S).
  { rewrite Sz. assert (K := over_near n (fun j => Rabs (e j)) (weight k) slack).
    assert (K' : Rabs (over n (fun j => Rabs (e j)) - S) <= INR n * slack).
    { apply K. intros j Hj. apply Rle_trans with (2 := He j Hj).
      assert (P := exp_pos (r j - r k)). fold (weight k j) in P.
      rewrite <- (Rabs_pos_eq (weight k j)) at 1 by lra. apply Rabs_triang_inv2. }
    apply Rle_trans with (S + 0.0165); [|lra]. unfold Rabs at 1 in K'. destruct Rcase_abs in K'; lra. }
  assert (Lv : (length (live l) <= n)%nat).
  { unfold live. apply Nat.le_trans with (1 := filter_length _). unfold l. rewrite !map_length, seq_length. lia. }
  assert (Hh : INR n * u <= / 2 ^ 10).
  { apply Rle_trans with (2 ^ 14 * u); [apply Rmult_le_compat_r; lra|]. rewrite U1. lra. }
  assert (Err : error l + eta <= 1.03 * u * INR n * S).
  { unfold error, first_order.
    assert (G := growth_inv (length (live l)) n Lv ltac:(lra)). set (A := (1 + u) ^ length (live l)) in *.
    assert (A2 : A <= 1.001).
    { apply Rle_trans with (1 := G). apply (Rmult_le_reg_r (1 - INR n * u)); [lra|]. rewrite Rinv_l; lra. }
    assert (A1 : 1 <= A) by apply pow_1u.
    assert (P0 : total (map products_of l) = 0 /\ total (map flush_of l) = 0).
    { unfold l. clear. induction (seq 0 n) as [|j q [IH1 IH2]]; [split; reflexivity|].
      cbn [map products_of flush_of total fold_right]. fold (total (map products_of (map (fun j => Constant (e j)) q))).
      fold (total (map flush_of (map (fun j => Constant (e j)) q))). lra. }
    destruct P0 as [-> ->].
    assert (W := worst_simple _ (live_nonneg l)). rewrite total_live in W.
    assert (Pn : INR (pred (length (live l))) <= INR n - 1).
    { replace (INR n - 1) with (INR (pred n)).
      - apply le_INR. lia.
      - destruct n; [lia|]. cbn [pred]. rewrite S_INR. lra. }
    assert (W2 : worst (live l) <= (INR n - 1) * (1.02 * S)).
    { apply Rle_trans with (1 := W). apply Rmult_le_compat; [apply pos_INR|apply size_pos|exact Pn|exact Sz2]. }
    assert (Q : u * (worst (live l) + 0) + eta * (0 + 3 * INR (pred (length (live l)))) <=
                1.021 * u * (INR n - 1) * S).
    { assert (u * worst (live l) <= u * ((INR n - 1) * (1.02 * S))) by (apply Rmult_le_compat_l; lra).
      assert (V : eta * (3 * INR (pred (length (live l)))) <= 0.001 * u * ((INR n - 1) * S)).
      { apply Rle_trans with (eta * (3 * ((INR n - 1) * S))).
        - apply Rmult_le_compat_l; [lra|]. assert ((INR n - 1) * 1 <= (INR n - 1) * S) by (apply Rmult_le_compat_l; lra). lra.
        - rewrite <- Rmult_assoc. apply Rmult_le_compat_r; [apply Rmult_le_pos; lra|]. lra. }
      lra. }
    assert (Z : 0 <= 1.021 * u * (INR n - 1) * S)
      by (apply Rmult_le_pos; [apply Rmult_le_pos|]; lra).
    assert (Y : A * (u * (worst (live l) + 0) + eta * (0 + 3 * INR (pred (length (live l))))) <=
                1.001 * (1.021 * u * (INR n - 1) * S)).
    { apply Rle_trans with (A * (1.021 * u * (INR n - 1) * S)); [apply Rmult_le_compat_l; lra|].
      apply Rmult_le_compat_r; lra. }
    assert (u * 1 <= u * S) by (apply Rmult_le_compat_l; lra).
    replace (1.03 * u * INR n * S) with (1.03 * u * (INR n - 1) * S + 1.03 * (u * S)) by ring.
    assert (0 <= u * (INR n - 1) * S) by (apply Rmult_le_pos; [apply Rmult_le_pos|]; lra). lra. }
  assert (Small : 1.03 * u * INR n * S <= 0.002 * S).
  { apply Rmult_le_compat_r; [lra|]. lra. }
  destruct (sum_error l s Hs) as (a & q & -> & Ra & Ea).
  { assert (Lg : 2 ^ 20 <= largest) by (unfold largest; lra). lra. }
  exists q. split; [reflexivity|].
  assert (K := over_near n e (weight k) slack He). fold S in K. rewrite X in Ea.
  replace (q - S) with ((q - a) + ((a - over n e) + (over n e - S))) by ring.
  apply Rle_trans with (1 := Rabs_triang _ _). assert (T := Rabs_triang (a - over n e) (over n e - S)).
  assert (R1 := reads_error _ _ Ra). lra.
Qed.

Theorem probabilities c : (c < n)%nat ->
  exists y, p c = Finite y /\ Rabs (y - softmax n r c) <= softmax_error n.
Proof.
  intros Hc. assert (Hu := u_pos). assert (Sn := n_small). assert (U1 : u = / 2 ^ 24) by reflexivity.
  assert (N1 : 1 <= INR n) by (replace 1 with (INR 1) by reflexivity; apply le_INR; lia).
  destruct H as (k & d & e & s & Hk & Hmax & Hde & Hs & Hp).
  assert (Mx : forall j, (j < n)%nat -> r j <= r k).
  { intros j Hj. now apply (Hmax j); [|apply Hz|apply Hz]. }
  assert (EX : forall j, (j < n)%nat -> exists x, e j = Finite x /\ Rabs (x - weight k j) <= slack).
  { intros j Hj. destruct (Hde j Hj) as [Cd Ce]. now apply (one_exponential k j (d j)); [..|apply Mx| |]. }
  pose (f := fun j => match e j with Finite x => x | Overflow => 0 end).
  assert (Ef : forall j, (j < n)%nat -> e j = Finite (f j) /\ Rabs (f j - weight k j) <= slack).
  { intros j Hj. destruct (EX j Hj) as (x & E & B). unfold f. rewrite E. auto. }
  destruct (sum_of_exponentials k f s Hk Mx (fun j Hj => proj2 (Ef j Hj))) as ([S1 S2] & q & -> & Hq).
  { apply Hs. intros j Hj. now apply Ef. }
  set (S := over n (weight k)) in *.
  assert (Hsl : 0 < slack) by (unfold slack; lra).
  set (x := INR n * slack + 1.03 * u * INR n).
  assert (Hx : 0 <= x <= 0.02).
  { unfold x. split.
    - assert (0 <= INR n * slack) by (apply Rmult_le_pos; lra). assert (0 <= u * INR n) by (apply Rmult_le_pos; lra). lra.
    - assert (INR n * slack <= 2 ^ 14 * slack) by (apply Rmult_le_compat_r; lra).
      assert (u * INR n <= u * 2 ^ 14) by (apply Rmult_le_compat_l; lra). unfold slack in *. rewrite U1 in *. lra. }
  assert (Hq2 : Rabs (q - S) <= x * S).
  { apply Rle_trans with (1 := Hq). unfold x.
    assert (INR n * slack * 1 <= INR n * slack * S) by (apply Rmult_le_compat_l; [apply Rmult_le_pos|]; lra). lra. }
  assert (E01 : 0 <= weight k c <= 1).
  { unfold weight. split; [apply Rlt_le, exp_pos|]. rewrite <- exp_0. specialize (Mx c Hc).
    destruct (Req_dec (r c - r k) 0) as [->|]; [lra|]. apply Rlt_le, exp_increasing. lra. }
  assert (slack_x : slack <= x).
  { unfold x. assert (1 * slack <= INR n * slack) by (apply Rmult_le_compat_r; lra).
    assert (0 <= u * INR n) by (apply Rmult_le_pos; lra). lra. }
  destruct (Ef c Hc) as [Ec Bc]. assert (D := Hp c Hc). rewrite Ec in D.
  assert (Ls : 2 ^ 20 <= largest) by (unfold largest; lra).
  destruct (quotient_error (weight k c) S (f c) q (p c) x E01 ltac:(lra) ltac:(lra) Hx ltac:(lra) Hq2 D ltac:(lra))
    as (y & -> & By).
  exists y. split; [reflexivity|]. rewrite (softmax_weight k c Hk). fold S.
  assert (Q1 : 0.98 * S <= q).
  { assert (x * S <= 0.02 * S) by (apply Rmult_le_compat_r; lra). unfold Rabs in Hq2. destruct Rcase_abs in Hq2; lra. }
  assert (I1 : / q <= 1.021).
  { apply (Rmult_le_reg_r q); [lra|]. rewrite Rinv_l by lra. lra. }
  assert (I0 : 0 < / q) by (apply Rinv_0_lt_compat; lra).
  assert (Main : Rabs (f c / q - weight k c / S) <= 1.021 * (slack + x)).
  { replace (f c / q - weight k c / S) with (/ q * ((f c - weight k c) + weight k c / S * (S - q))) by (field; lra).
    rewrite Rabs_mult, (Rabs_pos_eq (/ q)) by lra.
    apply Rle_trans with (/ q * (slack + x)); [|apply Rmult_le_compat_r; lra].
    apply Rmult_le_compat_l; [lra|]. apply Rle_trans with (1 := Rabs_triang _ _).
    rewrite Rabs_mult. rewrite (Rabs_minus_sym S q).
    assert (W : Rabs (weight k c / S) * Rabs (q - S) <= x).
    { unfold Rdiv. rewrite Rabs_mult, (Rabs_pos_eq (weight k c)), (Rabs_pos_eq (/ S)) by (try (apply Rlt_le, Rinv_0_lt_compat); lra).
      apply Rle_trans with (1 * / S * (x * S)).
      - apply Rmult_le_compat; [apply Rmult_le_pos; [lra|apply Rlt_le, Rinv_0_lt_compat; lra]|apply Rabs_pos| |exact Hq2].
        apply Rmult_le_compat_r; [apply Rlt_le, Rinv_0_lt_compat; lra|lra].
      - right. field. lra. }
    lra. }
  replace (y - weight k c / S) with ((y - f c / q) + (f c / q - weight k c / S)) by ring.
  apply Rle_trans with (1 := Rabs_triang _ _). unfold softmax_error, theta. unfold x, slack in Main.
  assert (0 <= u * INR n) by (apply Rmult_le_pos; lra). assert (1 * u <= INR n * u) by (apply Rmult_le_compat_r; lra).
  assert (Z : 1.021 * (0.45 * u + / 2 ^ 20 + (INR n * (0.45 * u + / 2 ^ 20) + 1.03 * u * INR n)) + 2.2 * u <=
     11 / 10 * ((INR n + 1) * (u / 2 + / 2 ^ 20) + (2 * INR n + 1) * u)) by (rewrite U1 in *; lra).
  lra.
Qed.
End Softmax.
